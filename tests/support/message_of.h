// The message of the exception that a piece of code throws:  EXPECT_THAT(message_of<InputError>([&] { … }),
// HasSubstr("…")).
#pragma once

#include <gtest/gtest.h>

#include <string>

namespace cm::test {

// Empty, and a failure of the test, when `body` throws no Exception.
template <class Exception, class Body>
std::string message_of(Body&& body) {
  try {
    body();
  } catch (const Exception& exception) {
    return exception.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

}  // namespace cm::test
