// The smallest transformer over patches that has all its parts: two blocks of two heads.
#pragma once

#include "cm/nn/dit.h"

namespace cm::test {

inline DitOptions small_dit() {
  DitOptions options;
  options.width = 32;
  options.depth = 2;
  options.heads = 2;
  return options;
}

}  // namespace cm::test
