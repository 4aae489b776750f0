#include "src/base/end_on_signal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "support/temporary_folder.h"

namespace cm {
namespace {

namespace fs = std::filesystem;
using test::TemporaryFolder;

// Sends itself the signal in the middle of a file, and waits for its end.
int stopped_while_writing(int signal, const fs::path& path) {
  return exit_code_of("cm-x", [&] {
    write_file_atomically(path, [&](FileWriter& writer) {
      writer.write("half");
      ::kill(::getpid(), signal);
      std::this_thread::sleep_for(std::chrono::seconds(20));
    });
    return 0;
  });
}

TEST(EndOnSignalDeathTest, TheSignalEndsItWithOneLineAndNoHalfFile) {
  for (const auto& [signal, name] : {std::pair(SIGINT, "SIGINT"), std::pair(SIGTERM, "SIGTERM")}) {
    const TemporaryFolder folder;
    EXPECT_EXIT(stopped_while_writing(signal, folder / "a"), testing::KilledBySignal(signal),
                std::string("^cm-x: ended by ") + name + "; no half-written file was left\n$");
    EXPECT_TRUE(fs::is_empty(folder.path())) << name;
  }
}

TEST(EndOnSignalDeathTest, AnIgnoredSignalStaysIgnored) {
  const auto ignoring = [] {
    std::signal(SIGINT, SIG_IGN);
    {
      const EndOnSignal ended("cm-x");
      std::raise(SIGINT);
    }
    std::raise(SIGINT);
    std::_Exit(7);
  };
  EXPECT_EXIT(ignoring(), testing::ExitedWithCode(7), "^$");
}

TEST(EndOnSignalDeathTest, AfterwardsSignalsDoWhatTheyDid) {
  const auto afterwards = [] {
    { const EndOnSignal ended("cm-x"); }
    std::raise(SIGTERM);
  };
  EXPECT_EXIT(afterwards(), testing::KilledBySignal(SIGTERM), "^$");
}

}  // namespace
}  // namespace cm
