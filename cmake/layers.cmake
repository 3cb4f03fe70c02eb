# The architecture, bottom to top. A folder may include only itself and the folders it lists here.
# Read by the build (ferry_module) and by the layer check (cmake/check_layers.cmake).
set(layers common runtime ota telemetry ci_gates agent server cli)
set(common_uses)
set(runtime_uses common)
set(ota_uses common)
set(telemetry_uses common)
set(ci_gates_uses common runtime ota telemetry)
set(agent_uses common runtime ota telemetry)
set(server_uses common ota telemetry)
set(cli_uses common ota telemetry ci_gates)
