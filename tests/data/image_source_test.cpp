#include "cm/data/image_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace cm {
namespace {

using test::message_of;
using test::TemporaryFolder;

TEST(ImageSource, IsToldByTheSuffix) {
  const TemporaryFolder folder;
  const auto kind_of = [&](const std::string& name) {
    write_file_atomically(folder / name, "");
    return image_source(folder / name).kind;
  };
  EXPECT_EQ(kind_of("a.npz"), ImageSourceKind::npz);
  EXPECT_EQ(kind_of("a.csv"), ImageSourceKind::digits);
  EXPECT_EQ(kind_of("a.csv.gz"), ImageSourceKind::digits);
  EXPECT_EQ(kind_of("a.zip"), ImageSourceKind::files);
  EXPECT_EQ(kind_of("a.png"), ImageSourceKind::picture);
  EXPECT_EQ(kind_of("a"), ImageSourceKind::picture);
}

TEST(ImageSource, AFolderIsItsFilesUnlessItHasSamples) {
  const TemporaryFolder folder;
  EXPECT_EQ(image_source(folder.path()).kind, ImageSourceKind::files);
  write_file_atomically(folder / "samples.npz", "");
  EXPECT_EQ(image_source(folder.path()).kind, ImageSourceKind::npz);
  EXPECT_EQ(image_source(folder.path()).path, folder / "samples.npz");
}

TEST(ImageSource, MustBeThere) {
  const TemporaryFolder folder;
  std::filesystem::create_symlink("self", folder / "self");
  EXPECT_EQ(message_of<InputError>([&] { image_source(folder / "none"); }),
            (folder / "none").string() + ": no such file or folder");
  EXPECT_EQ(message_of<InputError>([&] { image_source(folder / "self"); }),
            (folder / "self").string() + ": Too many levels of symbolic links");
}

}  // namespace
}  // namespace cm
