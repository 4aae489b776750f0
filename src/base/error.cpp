#include "cm/base/error.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <new>

#include "cm/base/text.h"
#include "end_on_signal.h"

namespace cm {
namespace {

// The words of `what` between two others; empty where these are not there.
std::string between(const std::string& what, std::string_view before, std::string_view after) {
  const size_t start = what.find(before);
  if (start == std::string::npos) return "";
  const size_t first = start + before.size();
  const size_t end = what.find(after, first);
  return end == std::string::npos ? "" : what.substr(first, end - first);
}

// `what` is the allocator's own message, if it has one: the CPU's says what it was asked for, a GPU's also
// what was free.
std::string out_of_memory(const std::string& what = "") {
  std::string asked = between(what, "tried to allocate ", ". ");
  if (asked.empty()) asked = between(what, "Tried to allocate ", ". ");
  const std::string free = between(what, "of which ", " is free");
  return concat("out of memory", asked.empty() ? "" : concat(": ", asked, " asked for"),
                free.empty() ? "" : concat(", ", free, " free"),
                "; use a smaller batch (train.micro_batch_size, --batch), "
                "model.activation_checkpointing=true or half precision (dtype bf16 or fp16)");
}

// What was printed may have gone to a file on a full disk.
void flush_stdout() {
  errno = 0;
  std::cout.flush();
  if (std::cout) return;
  throw Error(concat("could not write to standard output", errno == 0 ? "" : ": ",
                     errno == 0 ? "" : std::strerror(errno)));
}

}  // namespace

InputError::InputError(std::vector<std::string> mistakes)
    : Error(join(mistakes, "\n")), mistakes_(std::move(mistakes)) {}

// LibTorch's CPU allocator throws no type of its own.
bool is_out_of_memory(const c10::Error& error) {
  const std::string_view what = error.what_without_backtrace();
  return dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr ||
         what.find("can't allocate memory") != std::string_view::npos;
}

int exit_code_of(const std::string& program, const std::function<int()>& body) {
  const EndOnSignal ended(program);
  const auto say = [&](std::string sentence) {
    EndOnSignal::wait_if_ending();
    std::replace(sentence.begin(), sentence.end(), '\n', ' ');  // as in LibTorch's
    std::cerr << program << ": " << sentence << '\n';
  };
  try {
    const int code = body();
    flush_stdout();
    return code;
  } catch (const InputError& error) {
    for (const auto& mistake : error.mistakes()) say(mistake);
    return 2;
  } catch (const c10::Error& error) {
    say(is_out_of_memory(error) ? out_of_memory(error.what_without_backtrace())
                                : error.what_without_backtrace());
  } catch (const std::bad_alloc&) {
    say(out_of_memory());
  } catch (const std::filesystem::filesystem_error& error) {
    say(concat("could not create or open ", error.path1().string(), ": ", error.code().message()));
    // A link that leads to itself, and a name that no file can have.
    if (error.code() == std::errc::too_many_symbolic_link_levels) return 2;
    if (error.code() == std::errc::filename_too_long) return 2;
  } catch (const std::exception& error) {
    say(error.what());
  }
  return 1;
}

}  // namespace cm
