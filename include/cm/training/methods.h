// The methods, and what is asked of all or of one of them.
#pragma once

#include <array>
#include <tuple>
#include <utility>

#include "cm/training/alpha_flow_objective.h"
#include "cm/training/cd_objective.h"
#include "cm/training/continuous_objective.h"
#include "cm/training/ct_objective.h"
#include "cm/training/ect_objective.h"
#include "cm/training/edm_objective.h"
#include "cm/training/flow_map_distillation.h"
#include "cm/training/ict_objective.h"
#include "cm/training/imm_objective.h"
#include "cm/training/kd_objective.h"
#include "cm/training/mean_flow_objective.h"
#include "cm/training/pd_objective.h"
#include "cm/training/scm_objective.h"
#include "cm/training/shortcut_objective.h"
#include "cm/training/tcm_objective.h"

namespace cm {

template <class... Options>
struct MethodList {};

using Methods =
    MethodList<EdmOptions, CdOptions, CtOptions, IctOptions, EctOptions, TcmOptions, ContinuousCdOptions,
               ContinuousCtOptions, SctOptions, ScdOptions, PdOptions, KdOptions, MeanFlowOptions,
               AlphaFlowOptions, ShortcutOptions, ImmOptions, EulerianOptions, LagrangianOptions>;

// One of Methods, by its place there.
enum class ObjectiveKind : size_t {};

namespace detail {

template <class... Options>
constexpr auto names_of(MethodList<Options...>) {
  return std::array{Options::name...};
}

template <class One, class... Options>
constexpr size_t place_of(MethodList<Options...>) {
  size_t place = 0;
  const bool found = ((std::is_same_v<One, Options> || (++place, false)) || ...);
  return found ? place : throw "not a method";
}

template <class... Options>
std::tuple<std::optional<Options>...> sections_of(MethodList<Options...>);

}  // namespace detail

inline constexpr auto kMethodNames = detail::names_of(Methods());

// ObjectiveKind of a method's options.
template <class Options>
inline constexpr ObjectiveKind kObjective{detail::place_of<Options>(Methods())};

template <>
struct EnumNames<ObjectiveKind> {
  static constexpr auto names = [] {
    std::array<EnumName<ObjectiveKind>, kMethodNames.size()> named{};
    for (size_t i = 0; i < named.size(); ++i) named[i] = {ObjectiveKind{i}, kMethodNames[i].objective};
    return named;
  }();
};

inline const MethodName& name_of(ObjectiveKind kind) {
  return kMethodNames.at(static_cast<size_t>(kind));
}

// A section for each method.
using MethodSections = decltype(detail::sections_of(Methods()));

// visitor(section) for the section of each method, std::optional<Options>&, in their order.
template <class Sections, class Visitor>
void for_each_section(Sections& sections, const Visitor& visitor) {
  std::apply([&](auto&... section) { (visitor(section), ...); }, sections);
}

// visitor(section) for the section of one.
template <class Sections, class Visitor>
void with_section(Sections& sections, ObjectiveKind kind, const Visitor& visitor) {
  size_t place = 0;
  for_each_section(sections, [&](auto& section) {
    if (ObjectiveKind{place++} == kind) visitor(section);
  });
}

// What a method tells of itself by the defaults of its options, in a run of one step.
Method method_by_default(ObjectiveKind kind);

}  // namespace cm
