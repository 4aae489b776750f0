#include "cm/io/zip_archive.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"
#include "support/zip_file.h"

namespace cm {
namespace {

using test::message_of;
using test::TemporaryFolder;
using test::write_zip;
using ::testing::HasSubstr;

const std::string kLines(10'000, 'a');

TEST(ZipArchive, StoredAndDeflatedEntriesAreReadInAnyOrder) {
  const TemporaryFolder folder;
  for (const bool deflated : {false, true}) {
    write_zip(folder / "x.zip", {{"b/", ""}, {"b/2.txt", kLines}, {"1.txt", "one"}, {"empty", ""}}, deflated);
    const ZipArchive archive(folder / "x.zip");
    ASSERT_EQ(archive.entries().size(), 4U);
    EXPECT_EQ(archive.entries()[0].name, "b/");
    EXPECT_EQ(archive.entries()[1].name, "b/2.txt");
    EXPECT_EQ(archive.entries()[1].bytes, kLines.size());
    EXPECT_EQ(archive.read(3, "x"), "");
    EXPECT_EQ(archive.read(2, "x"), "one");
    EXPECT_EQ(archive.read(1, "x"), kLines);
    EXPECT_EQ(archive.read(2, "x"), "one");
  }
}

TEST(ZipArchive, ManyThreadsMayRead) {
  const TemporaryFolder folder;
  test::ZipEntries entries;
  for (int i = 0; i < 40; ++i)
    entries.emplace_back(std::to_string(i), std::string(5000 + i, static_cast<char>(i)));
  write_zip(folder / "x.zip", entries, true);
  const ZipArchive archive(folder / "x.zip");
  std::atomic<int> wrong = 0;
  {
    std::vector<std::jthread> threads;
    for (size_t start = 0; start < 4; ++start) {
      threads.emplace_back([&, start] {
        for (size_t i = 0; i < 400; ++i) {
          const size_t index = (i + start * 10) % entries.size();
          if (archive.read(index, "x") != entries[index].second) ++wrong;
        }
      });
    }
  }
  EXPECT_EQ(wrong, 0);
}

TEST(ZipArchive, DamageIsRefused) {
  const TemporaryFolder folder;
  const auto path = folder / "x.zip";
  write_zip(path, {{"a", kLines}});
  const std::string whole = read_file(path);
  const auto complaint = [&](const std::string& content) {
    write_file_atomically(path, content);
    const ZipArchive archive(path);
    return message_of<InputError>([&] { archive.read(0, "x.zip/a"); });
  };
  std::string flipped = whole;
  flipped[whole.find(kLines) + 5] ^= 1;
  EXPECT_THAT(complaint(flipped), HasSubstr("x.zip/a: damaged: CRC error; copy or download"));

  // The sizes in the directory at the end, packed and unpacked: 3 GiB and more.
  const size_t directory = whole.rfind("PK\1\2");
  std::string large = whole;
  large[directory + 23] = large[directory + 27] = '\xc0';
  EXPECT_THAT(complaint(large), HasSubstr("x.zip/a: damaged: it can't hold the 32"));
  std::string bomb = whole;
  bomb[directory + 27] = '\xc0';
  EXPECT_THAT(complaint(bomb), HasSubstr("damaged: it can't hold the 32"));
}

TEST(ZipArchive, OtherFilesAreRefused) {
  const TemporaryFolder folder;
  const auto path = folder / "x.zip";
  EXPECT_THAT(message_of<InputError>([&] { ZipArchive archive(path); }),
              HasSubstr("x.zip: not a readable zip archive: No such file"));
  write_file_atomically(path, "text");
  EXPECT_THAT(message_of<InputError>([&] { ZipArchive archive(path); }), HasSubstr("Not a zip archive"));
}

TEST(IsZip, GoesByTheExtension) {
  EXPECT_TRUE(is_zip("a/cifar10-32x32.zip"));
  EXPECT_TRUE(is_zip("A.ZIP"));
  EXPECT_FALSE(is_zip("a.zip/b.png"));
  EXPECT_FALSE(is_zip("zip"));
}

}  // namespace
}  // namespace cm
