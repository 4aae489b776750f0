#include "kinds.h"

#include <algorithm>

#include "cifar10.h"
#include "cm/data/latents.h"
#include "cm/data/npz_dataset.h"
#include "cm/data/pairs.h"
#include "digits.h"
#include "image_files.h"
#include "patches.h"

namespace cm {

const std::vector<DataKind>& data_kinds() {
  static const std::vector<DataKind> kinds = {
      digits_kind(), image_files_kind(), patches_kind(), cifar10_kind(),
      npz_kind(),    pairs_kind(),       latents_kind(),
  };
  return kinds;
}

const DataKind& row_of(DatasetKind kind) {
  const auto found = std::ranges::find(data_kinds(), kind.name, &DataKind::name);
  TORCH_CHECK(found != data_kinds().end(), "no kind of data is called ", kind.name);
  return *found;
}

}  // namespace cm
