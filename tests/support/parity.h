// One way to state that numbers of ours agree with another implementation's:
//
//   expect_parity({fixture.name, "output"}, relative(output, fixture["output"]), 2e-5);
//
// fails the test as EXPECT does when the error is above the tolerance or not a number, and records the error
// in the file that the environment variable CM_PARITY_TABLE names, if it does. scripts/parity_table.py makes
// a table of that file.
#pragma once

#include <gtest/gtest.h>

#include <cctype>
#include <cmath>

#include "support/closeness.h"
#include "support/fixtures.h"

namespace cm::test {

// On which scale an error is measured; scripts/parity_table.py explains them to the table's reader.
enum class ErrorKind { relative, elementwise, absolute, exact };

}  // namespace cm::test

namespace cm::test {

struct ParityError {
  ErrorKind kind;
  double value;
};

// max |ours − theirs| / max |theirs|.
inline ParityError relative(const Tensor& ours, const Tensor& theirs) {
  return {ErrorKind::relative, relative_difference(ours, theirs)};
}

// max (|ours − theirs| / |theirs|).
inline ParityError elementwise(const Tensor& ours, const Tensor& theirs) {
  return {ErrorKind::elementwise, elementwise_difference(ours, theirs)};
}
inline ParityError elementwise(double ours, double theirs) {
  return elementwise(torch::tensor(ours, torch::kFloat64), torch::tensor(theirs, torch::kFloat64));
}

// max |ours − theirs|.
inline ParityError absolute(const Tensor& ours, const Tensor& theirs) {
  return {ErrorKind::absolute, largest_difference(ours, theirs)};
}

// The same, for numbers that must be equal.
inline ParityError exact(const Tensor& ours, const Tensor& theirs) {
  return {ErrorKind::exact, largest_difference(ours, theirs)};
}
inline ParityError exact(double ours, double theirs) {
  return {ErrorKind::exact, std::abs(ours - theirs)};
}

// What was compared: a case ("losses cd_heun.l2.uniform") and one of its quantities ("gradients"). Many
// comparisons may share both; the table shows the largest error.
struct ParityQuantity {
  std::string in_case;
  std::string name;
};

// The suite ParityX compares the topic x.
inline std::string parity_topic() {
  std::string topic = testing::UnitTest::GetInstance()->current_test_info()->test_suite_name();
  if (topic.starts_with("Parity")) topic.erase(0, std::string_view("Parity").size());
  topic[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(topic[0])));
  return topic;
}

// One write in append mode, so that test programs that run at once do not mix their lines.
inline void record_parity(const ParityQuantity& quantity, const ParityError& error, double tolerance) {
  const char* table = std::getenv("CM_PARITY_TABLE");
  if (table == nullptr) return;
  const Json line = {
      {"topic", parity_topic()},         {"case", quantity.in_case}, {"quantity", quantity.name},
      {"kind", json_of(error.kind)},     {"error", error.value},     {"tolerance", tolerance},
      {"computed_with", computed_with()}};
  FileWriter(table, FileWriter::Mode::append).write(line.dump() + "\n");
}

// Comparisons so far in this program.
inline int64_t& parity_comparisons() {
  static int64_t count = 0;
  return count;
}

inline void expect_parity(const ParityQuantity& quantity, const ParityError& error, double tolerance = 0,
                          const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  ++parity_comparisons();
  record_parity(quantity, error, tolerance);
  if (error.value <= tolerance) return;  // false for NaN
  ADD_FAILURE_AT(file, line) << concat(quantity.in_case, ", ", quantity.name, ": the ", to_string(error.kind),
                                       " error is ", error.value, ", the tolerance ", tolerance);
}

// Runs `check` on every case whose name begins with `prefix`. A case that cannot be checked fails the test
// and leaves the others to be checked; so does a folder in which there is nothing to compare.
template <class Check>
void check_cases(const std::string& prefix, const Check& check) {
  const int64_t before = parity_comparisons();
  for (const auto& fixture : fixtures(prefix)) {
    try {
      check(fixture);
    } catch (const std::exception& error) {
      ADD_FAILURE() << fixture.name << ": " << error.what();
    }
  }
  EXPECT_GT(parity_comparisons(), before) << "nothing to compare in " << prefix << "*.safetensors";
}

}  // namespace cm::test
