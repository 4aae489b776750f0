// Numbers on the command line, by the parser that reads those of a configuration (cm/yaml/scalar.h):
// decimal, "064" is 64, "1e4" is 10000, and hexadecimal, nan and inf are no numbers.
#pragma once

#include <string>

#include "cm/base/fields.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace cm {

// Declares the option `name`, which sets `value`: int64_t, uint64_t (any up to 2⁶⁴ − 1), double, an optional
// of these, or a vector, with commas or spaces between its entries. Whatever is no such number, or lies
// outside of `range`, is an InputError that names option, range and what was typed. The help shows what
// `value` is by default if capture_default_str() is called for it.
template <class Value>
CLI::Option* add_number_option(CLI::App& app, const std::string& name, Value& value, const std::string& help,
                               const Range& range = {});

}  // namespace cm
