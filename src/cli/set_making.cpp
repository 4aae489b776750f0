#include "set_making.h"

#include <algorithm>
#include <optional>

#include "cm/base/files.h"
#include "cm/base/log.h"
#include "cm/base/progress.h"
#include "cm/base/text.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

// How long a rank that is done waits for those that still make a file.
constexpr double kSecondsForAFile = 24 * 3600;

// The folder, and in it nothing that is to be made. By all ranks together.
void prepare_folder(const World& world, const fs::path& folder, const std::vector<fs::path>& obsolete) {
  if (world.is_first()) {
    fs::create_directories(folder);
    remove_unfinished(folder);
    for (const fs::path& old : obsolete) fs::remove(old);
  }
  world.barrier();
}

std::vector<SetFile> missing_files(std::vector<SetFile> files, const fs::path& folder) {
  const auto all = files.size();
  std::erase_if(files, [](const SetFile& file) { return fs::exists(file.path); });
  if (files.size() < all) {
    log_info(concat(folder.string(), ": has ", all - files.size(), " of ", all, " files already"));
  }
  return files;
}

int64_t examples_of(const std::vector<SetFile>& files) {
  int64_t examples = 0;
  for (const SetFile& file : files) examples += file.count;
  return examples;
}

}  // namespace

void make_files(const World& world, const fs::path& folder, const std::vector<SetFile>& files,
                const std::vector<fs::path>& obsolete, const std::string& what, const MakeFile& make) {
  prepare_folder(world, folder, obsolete);
  const auto missing = missing_files(files, folder);
  world.barrier();  // none is written before all have looked
  const Share share = share_of(static_cast<int64_t>(missing.size()), world);
  const int64_t count = examples_of(files);
  int64_t done = count - examples_of(missing);
  std::optional<Progress> progress;
  if (world.is_first()) progress.emplace(what, count, done);
  const auto made = [&](int64_t examples) {  // the other ranks keep about the same pace
    done = std::min(count, done + examples * world.size());
    if (progress) progress->update(done);
  };
  for (int64_t i = 0; i < share.count; ++i) make(missing[static_cast<size_t>(share.first + i)], made);
  world.set_timeout(kSecondsForAFile);
  world.barrier();
}

}  // namespace cm
