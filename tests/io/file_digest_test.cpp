#include "cm/io/file_digest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace cm {
namespace {

TEST(FileDigest, IsTheSha256OfTheStandard) {
  const test::TemporaryFolder folder;
  write_file_atomically(folder / "abc", "abc");  // FIPS 180-2, appendix B.1
  EXPECT_EQ(sha256_of(folder / "abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(FileDigest, IsThatOfAllParts) {
  const test::TemporaryFolder folder;
  write_file_atomically(folder / "a", std::string(1'000'000, 'a'));  // FIPS 180-2, appendix B.3
  EXPECT_EQ(sha256_of(folder / "a"), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  write_file_atomically(folder / "nothing", "");
  EXPECT_EQ(sha256_of(folder / "nothing"),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(FileDigest, RefusesAMissingFile) {
  const test::TemporaryFolder folder;
  EXPECT_THAT(test::message_of<InputError>([&] { sha256_of(folder / "none"); }), testing::HasSubstr("none"));
}

}  // namespace
}  // namespace cm
