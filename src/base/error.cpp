#include "cm/base/error.h"

#include <c10/util/Exception.h>

#include <iostream>
#include <new>

#include "cm/base/text.h"

namespace cm {

InputError::InputError(std::vector<std::string> mistakes)
    : Error(join(mistakes, "\n")), mistakes_(std::move(mistakes)) {}

int exit_code_of(const std::string& program, const std::function<int()>& body) {
  const auto say = [&](const std::string& sentence) { std::cerr << program << ": " << sentence << '\n'; };
  try {
    return body();
  } catch (const InputError& error) {
    for (const auto& mistake : error.mistakes()) say(mistake);
    return 2;
  } catch (const c10::Error& error) {
    say(error.what_without_backtrace());
  } catch (const std::bad_alloc&) {
    say("out of memory");
  } catch (const std::exception& error) {
    say(error.what());
  }
  return 1;
}

}  // namespace cm
