// What an InputError says, for tests to compare.
#pragma once

#include <string>
#include <vector>

#include "cm/base/error.h"

namespace cm {

// The lines of the InputError that `body` throws; none when it throws nothing.
template <class Body>
std::vector<std::string> mistakes_of(const Body& body) {
  try {
    body();
  } catch (const InputError& error) {
    return error.mistakes();
  }
  return {};
}

}  // namespace cm
