// Option structs described once, for reading, writing and help.
//
// A struct lists its fields in a function template that argument-dependent lookup finds:
//
//   struct EmaOptions { std::vector<double> rates = {0.999}; };
//   template <class Visitor> void fields(Visitor& visit, EmaOptions& o) {
//     visit("rates", o.rates, "decay rates of the evaluation averages", within(0, 1));
//   }
//
// A Visitor is called as visit(key, value, help) or visit(key, value, help, range). A value is a bool,
// int64_t, double, std::string, an enum class, an optional or vector of these, a word with a meaning of its
// own (Worded), another struct with fields, or a choice between several (OneOf). Rules that tie several
// fields together stand in `void validate(const X&, const Complain&)` beside the struct.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace cm {

// The closed interval that a number, or every number of a list, must lie in; `open_*` excludes the end.
struct Range {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  bool open_min = false;
  bool open_max = false;

  bool contains(double value) const {
    return (open_min ? value > min : value >= min) && (open_max ? value < max : value <= max);
  }
  // "at least 1", "above 0", "in [0, 1)".
  std::string describe() const;
};

inline Range at_least(double min) {
  return {.min = min};
}
inline Range above(double min) {
  return {.min = min, .open_min = true};
}
inline Range within(double min, double max) {
  return {.min = min, .max = max};
}
inline Range from_below(double min, double max) {
  return {.min = min, .max = max, .open_max = true};
}

// Receives a mistake that `validate` found: the key of the field (of this struct), and a sentence that begins
// after it ("must be …, got …").
using Complain = std::function<void(const std::string& key, const std::string& sentence)>;

// InputError with all that `judge` complains of, each with `prefix` before its key.
void refuse_mistakes(const std::string& prefix, const std::function<void(const Complain& complain)>& judge);

namespace detail {

// "heun" of Solver::heun; something with a ")" where there is no such value. Of what GCC and Clang write,
// "… [with auto value = cm::Solver::heun; …]".
template <auto value>
constexpr std::string_view identifier() {
  std::string_view text = __PRETTY_FUNCTION__;
  text.remove_prefix(text.find("value = ") + 8);
  text = text.substr(0, text.find_first_of(";]"));
  return text.substr(text.rfind(':') + 1);
}

}  // namespace detail

// What a value is called in YAML and on the command line: its identifier, unless this is specialised for it.
template <auto value>
inline constexpr std::string_view kNameOf = detail::identifier<value>();

template <class E>
struct EnumName {
  E value;
  std::string_view name;
};

template <class E>
EnumName(E, std::string_view) -> EnumName<E>;

namespace detail {

// The values of E from 0 on, with their names.
template <class E, size_t... places>
constexpr auto named_values(std::index_sequence<places...>) {
  constexpr size_t count = (size_t{0} + ... + (identifier<E{places}>().find(')') == std::string_view::npos));
  const std::array<EnumName<E>, sizeof...(places)> all{EnumName<E>{E{places}, kNameOf<E{places}>}...};
  std::array<EnumName<E>, count> named{};
  std::copy_n(all.begin(), count, named.begin());
  return named;
}

}  // namespace detail

// The values of a type that are named, in their order. Of an enum class: 0, 1, 2, …, fewer than 32.
template <class E>
struct EnumNames;

template <class E>
requires(std::is_enum_v<E> && !std::is_convertible_v<E, int>) struct EnumNames<E> {
  static constexpr auto names = detail::named_values<E>(std::make_index_sequence<32>());
};

template <class E>
concept NamedEnum = requires {
  EnumNames<E>::names;
};

template <NamedEnum E>
std::string to_string(E value) {
  for (const auto& entry : EnumNames<E>::names) {
    if (entry.value == value) return std::string(entry.name);
  }
  return "?";
}

template <NamedEnum E>
std::optional<E> from_name(std::string_view name) {
  for (const auto& entry : EnumNames<E>::names) {
    if (entry.name == name) return entry.value;
  }
  return std::nullopt;
}

template <NamedEnum E>
std::vector<std::string> all_names() {
  std::vector<std::string> names;
  for (const auto& entry : EnumNames<E>::names) names.emplace_back(entry.name);
  return names;
}

// A type whose values are words, "30min": parse gives the value of a word or nullopt, word() the word back,
// and kPhrase says what parse takes ("must be …").
template <class T>
concept Worded = requires(const T& value, std::string_view word) {
  { T::parse(word) } -> std::same_as<std::optional<T>>;
  { value.word() } -> std::same_as<std::string>;
  std::string_view(T::kPhrase);
};

// A choice between option structs: a std::variant of structs with fields that each have a name and what to
// say of it,
//   static constexpr std::string_view kName = "adm", kHelp = "the official release's";
// and ChoiceOf<V>, specialised with the key that names the alternative: `static constexpr std::string_view
// key = "architecture"`. It is one flat section: this key, then the fields of the alternative.
template <class V>
struct ChoiceOf;

template <class V>
concept OneOf = requires {
  ChoiceOf<V>::key;
};

// Which alternative a V holds, as the value of its key.
template <OneOf V>
struct Alternative {
  size_t index;
  bool operator==(const Alternative&) const = default;
};

template <OneOf V>
struct EnumNames<Alternative<V>> {
  static constexpr auto names = []<size_t... i>(std::index_sequence<i...>) {
    return std::array{EnumName<Alternative<V>>{{i}, std::variant_alternative_t<i, V>::kName}...};
  }
  (std::make_index_sequence<std::variant_size_v<V>>());
};

// visit(A()) for every alternative A.
template <OneOf V, class Visit>
void for_each_alternative(const Visit& visit) {
  [&]<size_t... i>(std::index_sequence<i...>) {
    (visit(std::variant_alternative_t<i, V>()), ...);
  }
  (std::make_index_sequence<std::variant_size_v<V>>());
}

template <OneOf V>
std::string name_of(const V& choice) {
  return to_string(Alternative<V>{choice.index()});
}

// The alternative of that name, with its defaults; nullopt where there is none.
template <OneOf V>
std::optional<V> alternative_named(std::string_view name) {
  std::optional<V> found;
  for_each_alternative<V>([&](const auto& alternative) {
    if (alternative.kName == name) found = alternative;
  });
  return found;
}

// A visitor that sets the key to another alternative makes it that one, with its defaults, before its fields.
template <class Visitor, OneOf V>
void fields(Visitor& visit, V& choice) {
  std::string help;
  for_each_alternative<V>([&](const auto& alternative) {
    help.append(help.empty() ? "" : "; ").append(alternative.kName).append(": ").append(alternative.kHelp);
  });
  Alternative<V> chosen{choice.index()};
  visit(std::string(ChoiceOf<V>::key), chosen, help);
  if (chosen.index != choice.index()) choice = *alternative_named<V>(to_string(chosen));
  std::visit([&](auto& alternative) { fields(visit, alternative); }, choice);
}

namespace detail {
struct AnyVisitor {
  template <class... Arguments>
  void operator()(const Arguments&...) const {}
};
}  // namespace detail

// A struct, or a choice between structs, that describes itself with `fields`.
template <class T>
concept HasFields = requires(detail::AnyVisitor visitor, T& options) {
  fields(visitor, options);
};

template <OneOf V>
void validate(const V& choice, const Complain& complain);

template <class T>
concept HasValidate = requires(const T& options, const Complain& complain) {
  validate(options, complain);
};

template <OneOf V>
void validate(const V& choice, const Complain& complain) {
  std::visit(
      [&]<class A>(const A& alternative) {
        if constexpr (HasValidate<A>) validate(alternative, complain);
      },
      choice);
}

}  // namespace cm
