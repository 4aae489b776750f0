#include "cm/metrics/file_digest.h"

#include <openssl/evp.h>

#include <array>
#include <cstdio>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/base/text.h"

namespace cm {

std::string sha256_of(const std::filesystem::path& file) {
  const std::string bytes = read_file(file);
  std::array<unsigned char, 32> digest{};
  if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), nullptr, EVP_sha256(), nullptr) != 1) {
    throw Error(concat(file.string(), ": libcrypto could not compute its SHA-256"));
  }
  std::string hex;
  for (const unsigned char byte : digest) {
    std::array<char, 3> pair{};
    std::snprintf(pair.data(), pair.size(), "%02x", byte);
    hex += pair.data();
  }
  return hex;
}

}  // namespace cm
