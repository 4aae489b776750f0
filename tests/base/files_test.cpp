#include "cm/base/files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace cm {
namespace {

namespace fs = std::filesystem;
using test::message_of;
using test::names_in;
using test::TemporaryFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(FolderLock, OnlyOneHasIt) {
  const TemporaryFolder folder;
  {
    const FolderLock lock(folder.path());
    EXPECT_THAT(message_of<InputError>([&] { const FolderLock second(folder.path()); }),
                HasSubstr("another process is writing to it"));
  }
  const FolderLock third(folder.path());
  EXPECT_THAT(names_in(folder.path()), ElementsAre());
}

TEST(Files, WriteReplacesTheWholeFile) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "a", "a long first text");
  write_file_atomically(folder / "a", "short");
  EXPECT_EQ(read_file(folder / "a"), "short");
  EXPECT_THAT(names_in(folder.path()), ElementsAre("a"));
}

TEST(Files, AFailingFillLeavesTheOldFile) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "a", "old");
  const auto fail_halfway = [](FileWriter& writer) {
    writer.write("new, but only half of");
    throw Error("stopped");
  };
  EXPECT_EQ(message_of<Error>([&] { write_file_atomically(folder / "a", fail_halfway); }), "stopped");
  EXPECT_EQ(read_file(folder / "a"), "old");
  EXPECT_THAT(names_in(folder.path()), ElementsAre("a"));
}

TEST(Files, WhatALibraryWritesIsWholeOrAbsentToo) {
  const TemporaryFolder folder;
  const auto write_and = [&](const std::function<void()>& then) {
    write_path_atomically(folder / "a", [&](const fs::path& temporary) {
      FileWriter(temporary).write("new");
      FileWriter(temporary.string() + ".Xy12").write("a temporary of the library's");
      then();
    });
  };
  EXPECT_EQ(message_of<Error>([&] { write_and([] { throw Error("stopped"); }); }), "stopped");
  EXPECT_TRUE(fs::is_empty(folder.path()));
  write_and([&] { EXPECT_TRUE(holds_nothing(folder.path())); });
  EXPECT_EQ(read_file(folder / "a"), "new");
  EXPECT_THAT(names_in(folder.path()), ElementsAre("a"));
  EXPECT_THAT(message_of<Error>([&] { write_path_atomically(folder / "b", [](const fs::path&) {}); }),
              HasSubstr("could not write"));
}

TEST(Files, AppendKeepsWhatIsThere) {
  const TemporaryFolder folder;
  FileWriter(folder / "a").write("one ");
  FileWriter(folder / "a", FileWriter::Mode::append).write("two");
  EXPECT_EQ(read_file(folder / "a"), "one two");
  FileWriter(folder / "a", FileWriter::Mode::truncate).write("three");
  EXPECT_EQ(read_file(folder / "a"), "three");
}

TEST(Files, AFullDiskIsAnErrorWithARemedy) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "this system has no /dev/full";
  const auto message = message_of<Error>([] { FileWriter("/dev/full").write("text"); });
  EXPECT_EQ(message, "could not write /dev/full: No space left on device; free some space and run again");
}

TEST(Files, AMissingFolderIsAnErrorWithThePath) {
  const TemporaryFolder folder;
  const auto path = folder / "missing/a";
  EXPECT_THAT(
      message_of<Error>([&] { write_file_atomically(path, "text"); }),
      testing::AllOf(HasSubstr((folder / "missing").string()), HasSubstr("No such file or directory")));
}

TEST(Files, AFolderReplacesTheFolderThatWasThere) {
  const TemporaryFolder folder;
  write_folder_atomically(folder / "step", [](const fs::path& to) {
    write_file_atomically(to / "weights", "1");
    write_file_atomically(to / "state", "1");
  });
  EXPECT_THAT(names_in(folder / "step"), ElementsAre("state", "weights"));
  write_folder_atomically(folder / "step",
                          [](const fs::path& to) { write_file_atomically(to / "weights", "2"); });
  EXPECT_THAT(names_in(folder / "step"), ElementsAre("weights"));
  EXPECT_EQ(read_file(folder / "step/weights"), "2");
  EXPECT_THAT(names_in(folder.path()), ElementsAre("step"));
}

TEST(Files, AFailingFillLeavesTheOldFolder) {
  const TemporaryFolder folder;
  write_folder_atomically(folder / "step",
                          [](const fs::path& to) { write_file_atomically(to / "weights", "old"); });
  const auto fail_halfway = [](const fs::path& to) {
    write_file_atomically(to / "weights", "new");
    throw Error("stopped");
  };
  EXPECT_EQ(message_of<Error>([&] { write_folder_atomically(folder / "step", fail_halfway); }), "stopped");
  EXPECT_EQ(read_file(folder / "step/weights"), "old");
  EXPECT_THAT(names_in(folder.path()), ElementsAre("step"));
}

TEST(Files, AFileThatIsAppendedToMustStayInItsPlace) {
  const TemporaryFolder folder;
  FileWriter writer(folder / "a", FileWriter::Mode::append);
  EXPECT_NO_THROW(writer.write("one"));
  fs::rename(folder / "a", folder / "b");
  const std::string lost = concat("could not go on writing ", (folder / "a").string(),
                                  ": it was removed, moved or replaced meanwhile");
  EXPECT_EQ(message_of<Error>([&] { writer.write("two"); }), lost);
  FileWriter(folder / "a").write("another");
  EXPECT_EQ(message_of<Error>([&] { writer.write("three"); }), lost);
}

TEST(Files, AFolderGoesWithAllThatIsInIt) {
  const TemporaryFolder folder;
  fs::create_directories(folder / "step/deep");
  remove_folder_atomically(folder / "step");
  EXPECT_NO_THROW(remove_folder_atomically(folder / "step"));
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST(Files, WhatADeadProcessLeftIsToldFromTheRestAndRemoved) {
  const TemporaryFolder folder;
  fs::create_directories(folder / ".step-1.tmp-7/deep");
  FileWriter(folder / ".config.yaml.tmp-7").write("half");
  EXPECT_TRUE(holds_nothing(folder.path()));
  FileWriter(folder / ".hidden").write("mine");
  EXPECT_FALSE(holds_nothing(folder.path()));
  remove_unfinished(folder.path());
  EXPECT_THAT(names_in(folder.path()), ElementsAre(".hidden"));
  EXPECT_NO_THROW(remove_unfinished(folder / "missing"));
}

TEST(Files, WhatThisProcessHasNotFinishedCanBeRemoved) {
  const TemporaryFolder folder;
  const auto fill = [&](const fs::path& to) {
    fs::create_directory(to / "deep");
    EXPECT_EQ(names_in(folder.path()).size(), 1);
    remove_own_unfinished();
    EXPECT_TRUE(fs::is_empty(folder.path()));
  };
  EXPECT_THAT(message_of<Error>([&] { write_folder_atomically(folder / "step", fill); }),
              HasSubstr("could not replace"));
}

TEST(Files, ALinkSwingsToItsNewTarget) {
  const TemporaryFolder folder;
  swing_link(folder / "latest", "step-1");
  EXPECT_EQ(fs::read_symlink(folder / "latest"), "step-1");
  swing_link(folder / "latest", "step-2");
  EXPECT_EQ(fs::read_symlink(folder / "latest"), "step-2");
  EXPECT_THAT(names_in(folder.path()), ElementsAre("latest"));
  EXPECT_THAT(message_of<Error>([&] { swing_link(folder / "missing/latest", "x"); }),
              HasSubstr("could not create"));
}

TEST(Files, ReadTakesAnyBytes) {
  const TemporaryFolder folder;
  const std::string bytes("\0\n\xFF\r", 4);
  write_file_atomically(folder / "a", bytes);
  EXPECT_EQ(read_file(folder / "a"), bytes);
  write_file_atomically(folder / "empty", "");
  EXPECT_EQ(read_file(folder / "empty"), "");
}

TEST(Files, ReadRefusesMissingFilesAndFolders) {
  const TemporaryFolder folder;
  const std::string path = (folder / "a").string();
  EXPECT_EQ(message_of<InputError>([&] { read_file(path); }), path + ": no such file");
  EXPECT_EQ(message_of<InputError>([&] { open_for_reading(folder.path()); }),
            folder.path().string() + ": is a folder, a file is needed");
}

}  // namespace
}  // namespace cm
