// The fetch command of the update driver: resolve, download, install. Network trouble waits here and decides nothing.
#include "agent/update_driver.hpp"
#include "ota/device_facts.hpp"

namespace ferry::agent {

UpdateDriver::CommandResult UpdateDriver::run_one(const ota::Fetch& fetch) {
  begin_busy(fetch.release.manifest_sha256);
  if (fetch.attempt > 1 && !interrupted()) {
    auto range = std::min(limits_.backoff_first * (std::int64_t{1} << std::min<std::int64_t>(fetch.attempt, 16)),
                          limits_.backoff_max);
    sleeper_.sleep(ota::Backoff(range, range).next(ports_.random));
  }
  auto result = CommandResult::interrupted;
  const std::size_t queued = queue_.size();
  if (!interrupted()) {
    auto client = ports_.make_client();
    if (!client) {
      download_failed(std::move(client).error());
      result = CommandResult::done;
    } else {
      WatchedClient http(std::move(*client), cancel_);
      if (auto release = resolve(fetch, http))
        result = install(fetch, *release, http);
      else if (queue_.size() > queued)
        result = CommandResult::done;
    }
  }
  end_busy();
  // Cut by another assignment: the machine still believes to be downloading and is shown the assignment next. When that
  // turns out to be the same release after all, the command is run again.
  if (result == CommandResult::interrupted && !sleeper_.stopped()) result = CommandResult::again_later;
  return result;
}

// nullopt: interrupted, or decided: then an event was queued.
std::optional<ResolvedRelease> UpdateDriver::resolve(const ota::Fetch& fetch, WatchedClient& http) {
  ota::Backoff backoff(limits_.backoff_first, limits_.backoff_max);
  for (;;) {
    if (interrupted()) return std::nullopt;
    auto resolve_once = [&]() -> Result<ResolvedRelease> {
      TRY(auto profile, ports_.activator.hardware_profile());
      TRY(auto facts, ota::device_facts(profile));
      return ports_.resolver.resolve(model_, fetch.release, facts, http);
    };
    auto resolved = resolve_once();
    if (resolved) {
      std::vector<ota::Command> none;
      if (auto seen = advance(ota::FloorSeen{resolved->minimum_counter}, none); !seen) {
        download_failed(std::move(seen).error());
        return std::nullopt;
      }
      return std::move(*resolved);
    }
    const Error& error = resolved.error();
    if (interrupted() || error.code == Errc::cancelled) return std::nullopt;
    bool trouble = ota::is_network_trouble(error.code) || error.reason.empty();
    if (error.code == Errc::not_found && error.reason.empty()) trouble = false;  // not published (yet)
    if (error.code == Errc::io || error.code == Errc::no_space) trouble = false;
    if (!trouble && error.reason.empty()) {
      download_failed(error);
      return std::nullopt;
    }
    if (!trouble) {
      feed(ota::Refused{error.reason, error.context, now_ms()});
      return std::nullopt;
    }
    Duration wait = backoff.next(ports_.random, http.take_retry_after());
    ports_.log.info("update waits for the server", {{"model", model_}, {"error", error.context}, {"ms", wait.count()}});
    sleeper_.sleep(wait);
  }
}

UpdateDriver::CommandResult UpdateDriver::install(const ota::Fetch& fetch, const ResolvedRelease& release,
                                                  WatchedClient& http) {
  const ota::Variant& variant = release.manifest->variants[release.choice.index];
  ota::Downloaded downloaded{fetch.slot, release.choice.name, release.choice.reason, 0};
  auto finish = [&] {
    downloaded.at_ms = now_ms();
    feed(downloaded);
    if (auto cleared = store_.clear_downloads(); !cleared)
      ports_.log.warn("downloads not cleared", {{"model", model_}, {"error", cleared.error().context}});
    return CommandResult::done;
  };
  // The release before this one often still lies there; so does one whose install was cut after its last write.
  if (store_.verify(fetch.slot, fetch.release.manifest_sha256, release.choice.name)) return finish();

  const ota::BlobRef* blobs[] = {&variant.file, &*variant.golden, &*release.manifest->reference_profile};
  std::uint64_t bytes = release.manifest_bytes.size() + release.attestations.size();
  for (const auto* blob : blobs) bytes += blob->length_bytes;
  if (auto space = store_.check_space(bytes); !space) {
    download_failed(space.error());
    return CommandResult::done;
  }
  ota::Downloader downloader(http, sleeper_, ports_.random, ports_.log);
  for (const auto* blob : blobs) {
    ota::DownloadRequest request;
    request.url = ports_.resolver.blob_url(blob->sha256);
    request.sha256 = blob->sha256;
    request.length_bytes = blob->length_bytes;
    request.directory = store_.download_directory();
    request.cancel = &cancel_;
    auto path = downloader.fetch(request);
    if (!path && path.error().code == Errc::cancelled) return CommandResult::interrupted;
    if (!path) {
      download_failed(path.error());
      return CommandResult::done;
    }
  }
  std::vector<ota::Command> none;
  if (auto begun = advance(ota::InstallBegan{fetch.slot}, none); !begun) {
    download_failed(begun.error());
    return CommandResult::done;
  }
  auto installed = store_.install(fetch.slot, {release.manifest_bytes, release.attestations, release.choice.name});
  if (!installed) {
    download_failed(installed.error());
    return CommandResult::done;
  }
  return finish();
}

void UpdateDriver::download_failed(const Error& error) {
  std::string reason = error.reason;
  if (reason.empty() && error.code == Errc::no_space) reason = "install.no_space";
  if (reason.empty() && error.code == Errc::io) reason = "install.io";
  if (reason.empty()) reason = "download.failed";
  bool again = reason != "install.no_space";
  feed(ota::DownloadFailed{std::move(reason), error.context, again, now_ms()});
}

}  // namespace ferry::agent
