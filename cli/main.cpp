// `ferry`: one command line for everybody.
#include "cli/cli.hpp"

#include <iostream>

int main(int argc, char** argv) {
  ferry::SystemClock clock;
  ferry::SystemRandom random;
  return ferry::cli::run(argc, argv, std::cout, std::cerr, clock, random);
}
