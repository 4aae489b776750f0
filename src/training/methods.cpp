#include "cm/training/methods.h"

namespace cm {

Method method_by_default(ObjectiveKind kind) {
  MethodSections none;
  Method method;
  with_section(none, kind, [&]<class Options>(std::optional<Options>&) {
    method = method_of(Options(), /*total_steps=*/1);
  });
  return method;
}

}  // namespace cm
