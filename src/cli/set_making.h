// Making a set of examples that lies in files (cm/data/set_files.h): each is made by one process, and those
// that are there stay.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "cm/data/set_files.h"
#include "cm/distributed/world.h"

namespace cm {

// Writes a file, telling `made` of every few examples.
using MakeFile = std::function<void(const SetFile& file, const std::function<void(int64_t examples)>& made)>;

// Makes those of `files` that are not in the folder, by all ranks together, after removing `obsolete` from
// it. A progress bar says `what` they are.
void make_files(const World& world, const std::filesystem::path& folder, const std::vector<SetFile>& files,
                const std::vector<std::filesystem::path>& obsolete, const std::string& what,
                const MakeFile& make);

}  // namespace cm
