#include "cm/metrics/file_digest.h"

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

TEST(FileDigest, RefusesAMissingFile) {
  const test::TemporaryFolder folder;
  EXPECT_THAT(test::message_of<InputError>([&] { sha256_of(folder / "none"); }), testing::HasSubstr("none"));
}

}  // namespace
}  // namespace cm
