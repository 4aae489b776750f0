#include "cm/base/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <optional>
#include <string>

namespace cm {
namespace {

using ::testing::HasSubstr;

// What `body` shows on stderr while stderr is a terminal; nothing when this system has no pseudo-terminals.
std::optional<std::string> shown_on_a_terminal(const std::function<void()>& body) {
  int screen = -1;
  int terminal = -1;
  if (openpty(&screen, &terminal, nullptr, nullptr, nullptr) != 0) return std::nullopt;
  const int before = dup(STDERR_FILENO);
  dup2(terminal, STDERR_FILENO);
  body();
  dup2(before, STDERR_FILENO);
  close(before);
  close(terminal);  // with nobody left to write, reading ends after the last byte
  std::string shown;
  std::array<char, 4096> text{};
  for (ssize_t count = 0; (count = read(screen, text.data(), text.size())) > 0;) {
    shown.append(text.data(), static_cast<size_t>(count));
  }
  close(screen);
  return shown;
}

TEST(Progress, TellsThePresentSpeedAndWhatIsLeftAtIt) {
  double now = 1000;
  const auto shown = shown_on_a_terminal([&] {
    Progress progress("training", 1000, 500, [&] { return now; });
    progress.update(501, "slow");
    now += 300;
    for (int64_t step = 502; step <= 700; ++step, now += 0.5) progress.update(step, "fast");
  });
  if (!shown) GTEST_SKIP() << "no pseudo-terminal";
  EXPECT_THAT(*shown, HasSubstr("] 700/1000  2/s  ETA 2 min 30 s  fast")) << *shown;
}

TEST(Progress, SaysLittleWhereThereIsNoTerminal) {
  ::testing::internal::CaptureStderr();
  {
    Progress progress("training", 1000);
    for (int64_t step = 1; step <= 1000; ++step) progress.update(step, "loss 0.5");
    progress.clear();
  }
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

TEST(Progress, DrawsABarOnATerminalAndRemovesIt) {
  const auto shown = shown_on_a_terminal([] {
    Progress progress("training", 10);
    for (int64_t step = 1; step <= 10; ++step) progress.update(step, "loss 0.5");
  });
  if (!shown) GTEST_SKIP() << "no pseudo-terminal";
  EXPECT_THAT(*shown, HasSubstr("training [########################] 10/10"));
  EXPECT_THAT(*shown, HasSubstr("loss 0.5"));
  EXPECT_TRUE(shown->ends_with("\r\x1b[K")) << *shown;
  EXPECT_THAT(*shown, ::testing::Not(HasSubstr("5/10"))) << "drawn too often";
}

TEST(Progress, KnowsNoEndWithoutWork) {
  const auto shown = shown_on_a_terminal([] { Progress("nothing", 0).update(0); });
  if (!shown) GTEST_SKIP() << "no pseudo-terminal";
  EXPECT_THAT(*shown, HasSubstr("0/0"));
  EXPECT_THAT(*shown, HasSubstr("ETA 0 s"));
}

}  // namespace
}  // namespace cm
