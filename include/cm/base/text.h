// Small text tools for messages: joining, and finding the word that was probably meant.
#pragma once

#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace cm {

// The arguments, streamed one after another.
template <class... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

// "a, b, c" from {a, b, c}.
std::string join(const std::vector<std::string>& words, std::string_view separator = ", ");

// "a, b or c" from {a, b, c} with `conjunction` "or".
std::string enumerate(std::vector<std::string> words, std::string_view conjunction);

// The candidate with the smallest edit distance to `word`, or "" when none is within a third of its length
// (at least 1, so that one wrong letter in a short word is still found).
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

// " (did you mean X?)" when `nearest` finds an X, otherwise "".
std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates);

// The shortest decimal text that reads back as the same number: "0.0001", "80", "0.9999432189950708".
std::string shortest(double value);

// "0.01234", "1.2e+06": a number to so many significant digits, for people.
std::string significant(double value, int digits);

// "0.02 %": a share to two digits, for people.
std::string percent(double share);

// "12.5 ms", "1.2 s", "3 min 20 s", "2 h 5 min": a duration in seconds, for people. Negative or non-finite:
// "?".
std::string human_duration(double seconds);

// "512 B", "1.5 KiB", "2.3 GiB".
std::string human_bytes(double bytes);

// "1.15 M", "296 M", "980": a count, for people.
std::string human_count(double count);

}  // namespace cm
