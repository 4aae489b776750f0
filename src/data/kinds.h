// The kinds of data. Whatever is asked of a kind is a fold over this list: data.kind with its help and its
// rules, and --input, --samples and --reference, which tell a kind by its path.
#pragma once

#include "cm/data/pictures.h"

namespace cm {

// A kind's row stands with what reads it, and in kinds.cpp.
struct DataKind {
  std::string_view name;       // of data.kind
  std::string_view help;       // what it is, in a few words
  std::string_view data_path;  // what data.path must be

  // One of these: images of one shape, or of any, which training brings to data.image_size and data.channels.
  std::unique_ptr<Dataset> (*open)(const DataOptions& options) = nullptr;
  std::unique_ptr<StoredImages> (*open_stored)(const std::filesystem::path& path, bool labels) = nullptr;

  // Whether a path that exists is of this kind; null where data.kind alone can say so.
  bool (*recognises)(const std::filesystem::path& path) = nullptr;
  std::string_view recognised = {};  // such paths, in a few words

  std::optional<int64_t> default_size = std::nullopt;  // for data.image_size, where `open` takes one
  std::optional<DatasetShape> shape = std::nullopt;    // where all data of the kind has the same

  bool takes_size() const { return open_stored || default_size; }
};

// Of several kinds that recognise a path the last one takes it.
const std::vector<DataKind>& data_kinds();

const DataKind& row_of(DatasetKind kind);

}  // namespace cm
