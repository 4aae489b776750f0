#include "cm/cli/number_option.h"

#include <CLI/CLI.hpp>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "cm/yaml/scalar.h"
#include "cm/yaml/value_type.h"

namespace cm {
namespace {

template <class Number>
std::optional<Number> parse(const std::string& word) {
  if constexpr (std::is_same_v<Number, int64_t>) {
    return parse_integer(word);
  } else if constexpr (std::is_same_v<Number, uint64_t>) {
    return parse_unsigned(word);
  } else {
    return parse_number(word);
  }
}

// "an integer in [1, 20]"
template <class Number>
std::string expected(const Range& range) {
  if constexpr (std::is_same_v<Number, uint64_t>) {
    return concat("a whole number from 0 to ", std::numeric_limits<uint64_t>::max());
  } else {
    const bool limited = range.describe() != Range{}.describe();
    return concat(type_phrase<Number>(), limited ? " " : "", limited ? range.describe() : "");
  }
}

template <class Number>
Number number_of(const std::string& name, const std::string& word, const Range& range) {
  const std::optional<Number> number = parse<Number>(word);
  if (!number || !range.contains(static_cast<double>(*number))) {
    throw InputError(concat(name, " must be ", expected<Number>(range), ", got '", word, "'"));
  }
  return *number;
}

// What an optional or a list holds.
template <class Value>
struct NumberIn {
  using Type = Value;
};
template <class Value>
requires is_optional<Value> || is_list<Value>
struct NumberIn<Value> {
  using Type = typename Value::value_type;
};

template <class Value>
std::string default_text(const Value& value) {
  if constexpr (is_optional<Value>) {
    return value ? default_text(*value) : "";
  } else if constexpr (is_list<Value>) {
    std::vector<std::string> words;
    for (const auto& entry : value) words.push_back(default_text(entry));
    return join(words, ",");
  } else if constexpr (std::is_same_v<Value, double>) {
    return shortest(value);
  } else {
    return std::to_string(value);
  }
}

}  // namespace

template <class Value>
CLI::Option* add_number_option(CLI::App& app, const std::string& name, Value& value, const std::string& help,
                               const Range& range) {
  using Number = typename NumberIn<Value>::Type;
  const auto set = [&value, name, range](const std::vector<std::string>& words) {
    if constexpr (is_list<Value>) {
      value.clear();
      for (const auto& word : words) value.push_back(number_of<Number>(name, word, range));
    } else {
      value = number_of<Number>(name, words.at(0), range);
    }
    return true;
  };
  const auto text = [&value] { return default_text(value); };
  CLI::Option* option = app.add_option(name, CLI::callback_t(set), help, /*defaulted=*/false, text);
  if (is_list<Value>) option->expected(CLI::detail::expected_max_vector_size)->delimiter(',');
  return option->type_name(std::is_same_v<Number, double> ? "NUMBER" : "INTEGER");
}

template CLI::Option* add_number_option(CLI::App&, const std::string&, int64_t&, const std::string&,
                                        const Range&);
template CLI::Option* add_number_option(CLI::App&, const std::string&, double&, const std::string&,
                                        const Range&);
template CLI::Option* add_number_option(CLI::App&, const std::string&, std::optional<int64_t>&,
                                        const std::string&, const Range&);
template CLI::Option* add_number_option(CLI::App&, const std::string&, std::optional<uint64_t>&,
                                        const std::string&, const Range&);
template CLI::Option* add_number_option(CLI::App&, const std::string&, std::optional<double>&,
                                        const std::string&, const Range&);
template CLI::Option* add_number_option(CLI::App&, const std::string&, std::vector<int64_t>&,
                                        const std::string&, const Range&);
template CLI::Option* add_number_option(CLI::App&, const std::string&, std::vector<double>&,
                                        const std::string&, const Range&);

}  // namespace cm
