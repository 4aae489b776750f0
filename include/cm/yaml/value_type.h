// The types that a field can have (cm/base/fields.h), in words.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "cm/base/fields.h"
#include "cm/base/text.h"

namespace cm {

template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;

template <class T>
inline constexpr bool is_list = false;
template <class T>
inline constexpr bool is_list<std::vector<T>> = true;

template <class T>
inline constexpr bool is_optional_section = false;
template <HasFields T>
inline constexpr bool is_optional_section<std::optional<T>> = true;

// Whether a value of T is a single word of YAML (or null).
template <class T>
inline constexpr bool is_scalar = !HasFields<T> && !is_list<T>;
template <class T>
inline constexpr bool is_scalar<std::optional<T>> = is_scalar<T>;

// What the entries of a list are: "integers", "values of {l1, l2}".
template <class T>
std::string plural_phrase() {
  if constexpr (std::is_same_v<T, int64_t>) {
    return "integers";
  } else if constexpr (std::is_same_v<T, double>) {
    return "numbers";
  } else if constexpr (std::is_same_v<T, std::string>) {
    return "strings";
  } else {
    static_assert(NamedEnum<T>, "a list holds integers, numbers, strings or the names of an enum");
    return concat("values of {", join(all_names<T>()), "}");
  }
}

// What T accepts, to follow "must be": "an integer", "one of {l1, l2}", "a list of numbers".
template <class T>
std::string type_phrase() {
  if constexpr (std::is_same_v<T, bool>) {
    return "true or false";
  } else if constexpr (std::is_same_v<T, int64_t>) {
    return "an integer";
  } else if constexpr (std::is_same_v<T, double>) {
    return "a number";
  } else if constexpr (std::is_same_v<T, std::string>) {
    return "a string";
  } else if constexpr (is_optional<T>) {
    return concat(type_phrase<typename T::value_type>(), " or null");
  } else if constexpr (is_list<T>) {
    return concat("a list of ", plural_phrase<typename T::value_type>());
  } else if constexpr (NamedEnum<T>) {
    return concat("one of {", join(all_names<T>()), "}");
  } else if constexpr (Worded<T>) {
    return std::string(T::kPhrase);
  } else {
    static_assert(HasFields<T>, "a field's type is one of those that cm/base/fields.h lists");
    return "a section of keys";
  }
}

}  // namespace cm
