#include "cm/io/zip_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/io/zip_archive.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace cm {
namespace {

using test::TemporaryFolder;

NewZipEntry new_entry(const std::string& name, const std::string& own, std::string_view lent = {}) {
  return {name, [=]() -> ZipBytes { return {own, lent}; }};
}

TEST(ZipWriter, EntriesAreReadAsTheyWereGiven) {
  const TemporaryFolder folder;
  const std::string large(200'000, 'x');
  cm::write_zip(folder / "a.zip",
                {new_entry("a/1.txt", "one"), new_entry("ü", "head ", large), new_entry("none", "")});
  const ZipArchive archive(folder / "a.zip");
  ASSERT_EQ(archive.entries().size(), 3U);
  EXPECT_EQ(archive.entries()[1].name, "ü");
  EXPECT_EQ(archive.read(0, ""), "one");
  EXPECT_EQ(archive.read(1, ""), "head " + large);
  EXPECT_EQ(archive.read(2, ""), "");
}

TEST(ZipWriter, EqualEntriesMakeEqualFiles) {
  const TemporaryFolder folder;
  for (const char* name : {"a.zip", "b.zip"}) cm::write_zip(folder / name, {new_entry("1", "one")});
  EXPECT_EQ(read_file(folder / "a.zip"), read_file(folder / "b.zip"));
}

// In their order, each once, when those before it are written and forgotten.
TEST(ZipWriter, EntriesAreMadeOneAtATime) {
  const TemporaryFolder folder;
  std::vector<int> made;
  std::vector<NewZipEntry> entries;
  for (int i = 0; i < 5; ++i) {
    entries.push_back({std::to_string(i), [&, i]() -> ZipBytes {
                         made.push_back(i);
                         return {std::string(100'000, static_cast<char>('a' + i))};
                       }});
  }
  EXPECT_TRUE(made.empty());
  cm::write_zip(folder / "a.zip", entries);
  EXPECT_THAT(made, testing::ElementsAre(0, 1, 2, 3, 4));
}

TEST(ZipWriter, WhatAnEntryThrowsGetsThroughAndNothingIsLeft) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "a.zip", "what was there");
  const std::vector<NewZipEntry> entries = {
      new_entry("1", "one"), {"2", []() -> ZipBytes { throw InputError("the image is broken"); }}};
  EXPECT_EQ(test::message_of<InputError>([&] { cm::write_zip(folder / "a.zip", entries); }),
            "the image is broken");
  EXPECT_THAT(test::names_in(folder.path()), testing::ElementsAre("a.zip"));
  EXPECT_EQ(read_file(folder / "a.zip"), "what was there");
}

}  // namespace
}  // namespace cm
