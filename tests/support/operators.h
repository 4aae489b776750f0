// Which operators run, and within which.
#pragma once

#include <ATen/record_function.h>

#include <functional>
#include <mutex>
#include <string>
#include <vector>

namespace cm::test {

namespace detail {

struct SeenOperators {
  std::mutex mutex;
  std::vector<std::string> paths;
};
inline SeenOperators* seen_operators = nullptr;
inline thread_local std::vector<std::string> open_operators;

inline std::unique_ptr<at::ObserverContext> note_operator(const at::RecordFunction& function) {
  const std::string within = open_operators.empty() ? "" : open_operators.back() + "/";
  open_operators.push_back(within + function.name());
  const std::scoped_lock lock(seen_operators->mutex);
  seen_operators->paths.push_back(open_operators.back());
  return nullptr;
}

inline const std::function<void(const at::RecordFunction&)>* operator_watcher = nullptr;

inline std::unique_ptr<at::ObserverContext> tell_watcher(const at::RecordFunction& function) {
  (*operator_watcher)(function);
  return nullptr;
}

}  // namespace detail

// Tells `watcher` each operator of `body`, with its inputs, as it begins.
inline void watch_operators(const std::function<void(const at::RecordFunction&)>& watcher,
                            const std::function<void()>& body) {
  detail::operator_watcher = &watcher;
  const auto handle =
      at::addThreadLocalCallback(at::RecordFunctionCallback(detail::tell_watcher).needsInputs(true));
  body();
  at::removeCallback(handle);
}

// The operators of `body` on this thread and on those of the backward pass, in the order in which they began,
// each as a path from the outermost: "cm::adam_update/aten::item/aten::_local_scalar_dense".
inline std::vector<std::string> operators_of(const std::function<void()>& body) {
  detail::SeenOperators seen;
  detail::seen_operators = &seen;
  const auto handle = at::addThreadLocalCallback(at::RecordFunctionCallback(
      detail::note_operator,
      [](const at::RecordFunction&, at::ObserverContext*) { detail::open_operators.pop_back(); }));
  body();
  at::removeCallback(handle);
  return seen.paths;
}

}  // namespace cm::test
