// The data that ship with the project.
#pragma once

#include <string>

namespace cm::test {

inline const std::string kDigits = std::string(CM_SOURCE_DIR) + "/data/digits/digits.csv.gz";
inline const std::string kPhotographs = std::string(CM_SOURCE_DIR) + "/data/photographs";

}  // namespace cm::test
