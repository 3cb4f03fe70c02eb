// SQL in the common subset of SQLite and PostgreSQL (DESIGN.md §5.10): ids made by us, times in milliseconds.
#include "server/store/migrations.hpp"

namespace ferry::server {
namespace {

constexpr Migration migrations[] = {
    {1, R"sql(
create table devices (
  id text primary key,
  state text not null,
  enrolled_ms bigint not null,
  last_seen_ms bigint not null,
  alarm_ms bigint not null,
  token text not null,
  labels text not null,
  profile text not null,
  models text not null
);
create table device_certificates (
  fingerprint text primary key,
  device text not null references devices (id),
  key_digest text not null,
  issued_ms bigint not null,
  not_after_ms bigint not null
);
create index device_certificates_device on device_certificates (device);
create table device_installs (
  device text not null references devices (id),
  install text not null,
  applied_seq bigint not null,
  seen_ms bigint not null,
  primary key (device, install)
);
create table device_events (
  id bigint primary key,
  device text not null,
  seq bigint not null,
  at_ms bigint not null,
  received_ms bigint not null,
  kind text not null,
  body text not null
);
create index device_events_device on device_events (device, id);
create table enrolment_tokens (
  id text primary key,
  secret_sha256 text not null,
  created_ms bigint not null,
  expires_ms bigint not null,
  uses_total bigint not null,
  uses_left bigint not null,
  labels text not null,
  created_by text not null
);
create table enrolment_uses (
  token text not null references enrolment_tokens (id),
  key_digest text not null,
  device text not null,
  at_ms bigint not null,
  primary key (token, key_digest)
);
create table access_tokens (
  id text primary key,
  secret_sha256 text not null unique,
  name text not null,
  role text not null,
  created_ms bigint not null,
  expires_ms bigint not null
);
create table trust_versions (
  role text primary key,
  version bigint not null,
  sha256 text not null
);
create table releases (
  model text not null,
  version text not null,
  counter bigint not null,
  manifest_sha256 text not null,
  manifest_length bigint not null,
  attestations_sha256 text not null,
  created_ms bigint not null,
  published_ms bigint not null,
  published_by text not null,
  gate_result text not null,
  primary key (model, version)
);
create table rollouts (
  id text primary key,
  model text not null,
  created_ms bigint not null,
  plan text not null,
  head text not null
);
create index rollouts_model on rollouts (model, created_ms);
create table rollout_devices (
  rollout text not null references rollouts (id),
  device text not null,
  state text not null,
  offered_ms bigint not null,
  since_ms bigint not null,
  reason text not null,
  primary key (rollout, device)
);
create table rollout_log (
  rollout text not null references rollouts (id),
  number bigint not null,
  at_ms bigint not null,
  phase bigint not null,
  verdict text not null,
  decision text not null,
  detail text not null,
  actor text not null,
  primary key (rollout, number)
);
create table rollout_inbox (
  id bigint primary key,
  rollout text not null,
  device text not null,
  state text not null,
  reason text not null,
  at_ms bigint not null
);
create table telemetry_sequences (
  device text not null,
  boot text not null,
  highest bigint not null,
  bitmap bigint not null,
  seen_ms bigint not null,
  primary key (device, boot)
);
create table telemetry_minutes (
  model text not null,
  version text not null,
  minute_ms bigint not null,
  data bytea not null,
  primary key (model, version, minute_ms)
);
create table telemetry_devices (
  device text not null,
  model text not null,
  version text not null,
  last_window_ms bigint not null,
  data bytea not null,
  primary key (device, model, version)
);
)sql"},
    {2, R"sql(
create table telemetry_recent (
  device text not null,
  model text not null,
  version text not null,
  started_ms bigint not null,
  seen_ms bigint not null,
  filling bytea not null,
  full_half bytea not null,
  primary key (device, model, version)
);
create table gate_pairs (
  rollout text not null references rollouts (id),
  number bigint not null,
  started_ms bigint not null,
  canary_heard_ms bigint not null,
  control_heard_ms bigint not null,
  evidence text not null,
  canary_before bytea not null,
  control_before bytea not null,
  canary_now bytea not null,
  control_now bytea not null,
  primary key (rollout, number)
);
create table gate_verdicts (
  rollout text not null references rollouts (id),
  number bigint not null,
  at_ms bigint not null,
  decision text not null,
  body text not null,
  primary key (rollout, number)
);
)sql"},
    {3, R"sql(
create table drift_cohorts (
  id text primary key,
  model text not null,
  version text not null,
  manifest_sha256 text not null,
  hardware_class text not null,
  rollout text not null,
  arm text not null,
  seen_ms bigint not null,
  state text not null
);
create table drift_devices (
  cohort text not null references drift_cohorts (id),
  device text not null,
  seen_ms bigint not null,
  since_ms bigint not null,
  member bigint not null,
  counts text not null,
  primary key (cohort, device)
);
create table drift_windows (
  cohort text not null references drift_cohorts (id),
  number bigint not null,
  end_ms bigint not null,
  body text not null,
  primary key (cohort, number)
);
create index drift_windows_end on drift_windows (end_ms);
)sql"},
    {4, R"sql(
alter table rollout_devices add column site text not null default '';
alter table rollout_devices add column attempts bigint not null default 1;
)sql"},
};

}  // namespace

std::span<const Migration> schema_migrations() { return migrations; }

}  // namespace ferry::server
