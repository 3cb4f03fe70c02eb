// Builds the precompiled header that every test executable reuses (catch_main.cpp must not use it).
