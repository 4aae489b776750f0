#include "cm/io/file_digest.h"

#include <openssl/evp.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/base/text.h"

namespace cm {
namespace {

constexpr size_t kPart = 1 << 16;

}  // namespace

std::string sha256_of(const std::filesystem::path& file) {
  std::ifstream in = open_for_reading(file);
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  std::array<char, kPart> part{};
  std::array<unsigned char, 32> digest{};
  bool well = EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1;
  while (well && in) {
    in.read(part.data(), part.size());
    well = EVP_DigestUpdate(context.get(), part.data(), static_cast<size_t>(in.gcount())) == 1;
  }
  if (in.bad()) throw InputError(concat(file.string(), ": could not be read: ", std::strerror(errno)));
  if (!well || EVP_DigestFinal_ex(context.get(), digest.data(), nullptr) != 1) {
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
