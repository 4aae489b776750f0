// The two kinds of failure a user can meet, and how each ends the process.
//
//   throw InputError(concat(path, ": empty file; expected 1,797 lines of 65 numbers"));   // exit code 2
//   throw Error(concat(path, ": could not be written: no space left on the device"));      // exit code 1
//
// A message is one line that says what was found, what was expected and what to do.
#pragma once

#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

namespace c10 {
class Error;
}

namespace cm {

// A failure at run time that is nobody's mistake in a config or file (a full disk, a lost device).
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// One or several mistakes in what the user gave; each is one line.
class InputError : public Error {
 public:
  explicit InputError(const std::string& mistake) : InputError(std::vector<std::string>{mistake}) {}
  explicit InputError(std::vector<std::string> mistakes);
  const std::vector<std::string>& mistakes() const { return mistakes_; }

 private:
  std::vector<std::string> mistakes_;
};

// Whether LibTorch found no memory, on any device.
bool is_out_of_memory(const c10::Error& error);

// Runs `body` and returns its exit code; an InputError becomes 2, any other exception 1, each mistake one
// line on stderr that starts with `program`. LibTorch's errors lose their stack trace. What could not be
// printed is such a failure too, and SIGINT and SIGTERM end it as src/base/end_on_signal.h says.
int exit_code_of(const std::string& program, const std::function<int()>& body);

}  // namespace cm
