// Scalars to and from the text that stands for them in a YAML file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace cm {

// "12", "-3", "064" (64), and whole numbers in other notations ("1e6", "3.0"); all are decimal. Nothing when
// `text` is no integer or does not fit.
std::optional<int64_t> parse_integer(std::string_view text);
// The same of at least 0, up to 2⁶⁴ − 1.
std::optional<uint64_t> parse_unsigned(std::string_view text);

// "0.5", "1e-4", "80". Nothing when `text` is no number, or one that is not finite in double precision.
std::optional<double> parse_number(std::string_view text);

// "true" or "false".
std::optional<bool> parse_bool(std::string_view text);

std::string yaml_text(bool value);
std::string yaml_text(int64_t value);

// The shortest text that reads back as the same double: "1e-4", "0.9999432189950708". `value` is finite.
std::string yaml_text(double value);

// As it is where every YAML reader takes it for this string, else in double quotes.
std::string yaml_text(const std::string& value);

}  // namespace cm
