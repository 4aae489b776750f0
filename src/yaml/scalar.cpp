#include "cm/yaml/scalar.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdio>

namespace cm {
namespace {

// The number that is the whole of `text`; a leading + is allowed.
template <class Number>
std::optional<Number> parse_whole(std::string_view text) {
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  Number value{};
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Words that some YAML version reads as a bool or as null.
bool is_reserved(std::string word) {
  constexpr std::array<std::string_view, 10> kReserved = {"true", "false", "yes", "no",   "on",
                                                          "off",  "y",     "n",   "null", "~"};
  for (char& c : word) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return std::find(kReserved.begin(), kReserved.end(), word) != kReserved.end();
}

// Narrower than YAML: a letter or the start of a path, then letters, digits and . _ / + -.
bool is_plain(const std::string& text) {
  const auto letter = [](unsigned char c) { return c < 128 && std::isalpha(c) != 0; };
  const auto digit = [](unsigned char c) { return c >= '0' && c <= '9'; };
  const auto inner = [&](unsigned char c) {
    return letter(c) || digit(c) ||
           std::string_view("._/+-").find(static_cast<char>(c)) != std::string_view::npos;
  };
  const bool path = text.starts_with('/') || text.starts_with("./") || text.starts_with("../");
  return !text.empty() && (letter(static_cast<unsigned char>(text[0])) || path) &&
         std::all_of(text.begin(), text.end(), inner) && !is_reserved(text);
}

std::string in_quotes(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      std::array<char, 8> escape{};
      std::snprintf(escape.data(), escape.size(), "\\x%02x", static_cast<unsigned>(c));
      quoted += escape.data();
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

}  // namespace

std::optional<int64_t> parse_integer(std::string_view text) {
  if (const auto exact = parse_whole<int64_t>(text)) return exact;
  constexpr double kTwoTo63 = 9223372036854775808.0;
  const auto number = parse_number(text);
  if (!number || *number != std::floor(*number) || *number < -kTwoTo63 || *number >= kTwoTo63)
    return std::nullopt;
  return static_cast<int64_t>(*number);
}

std::optional<uint64_t> parse_unsigned(std::string_view text) {
  if (const auto exact = parse_whole<uint64_t>(text)) return exact;
  const auto integer = parse_integer(text);
  return integer && *integer >= 0 ? std::optional<uint64_t>(*integer) : std::nullopt;
}

std::optional<double> parse_number(std::string_view text) {
  const auto number = parse_whole<double>(text);
  return number && std::isfinite(*number) ? number : std::nullopt;
}

std::optional<bool> parse_bool(std::string_view text) {
  if (text == "true") return true;
  if (text == "false") return false;
  return std::nullopt;
}

std::string yaml_text(bool value) {
  return value ? "true" : "false";
}

std::string yaml_text(int64_t value) {
  return std::to_string(value);
}

std::string yaml_text(double value) {
  std::array<char, 32> buffer{};
  const auto [end, failure] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  const std::string text(buffer.data(), end);
  const size_t exponent = text.find('e');
  if (exponent == std::string::npos) return text;
  // "1e-04" → "1e-4", "1e+20" → "1e20"
  const auto power = parse_whole<int64_t>(std::string_view(text).substr(exponent + 1));
  return text.substr(0, exponent) + "e" + std::to_string(power.value_or(0));
}

std::string yaml_text(const std::string& value) {
  return is_plain(value) ? value : in_quotes(value);
}

}  // namespace cm
