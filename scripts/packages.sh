# The one list of Debian packages, by group; docs/third-party.md gives each one's licence and reason.
# "a|b" means: the first of these that this Debian release has. Sourced by scripts/setup.
# shellcheck shell=bash disable=SC2034

packages_build=(
  g++ cmake ninja-build pkg-config ccache lld mold
  libboost1.81-dev\|libboost-dev
  libssl-dev libcurl4-openssl-dev libsqlite3-dev zlib1g-dev libzstd-dev
  nlohmann-json3-dev libtomlplusplus-dev libprotozero-dev libcli11-dev libspdlog-dev libfmt-dev
  libseccomp-dev libsystemd-dev
  catch2
  ca-certificates
)

packages_test=(
  python3 openssl
  clang-16\|clang-19 libclang-rt-16-dev\|libclang-rt-19-dev clang-format
  faketime
  dataset-fashion-mnist
)

packages_web=(
  chromium
)

# What scripts/demo needs beside the build: the sample data and the trainer's interpreter.
packages_demo=(
  python3 openssl dataset-fashion-mnist
)

packages_bench=(
  nginx-light rauc dbus-daemon
)

# Not part of "all": only for people who train the sample model themselves.
packages_training=(
  python3-torch python3-onnx python3-numpy
)

# Not part of "all": container images without a container engine (scripts/images).
packages_images=(
  buildah mmdebstrap
)

package_groups_all=(build test demo web bench)
