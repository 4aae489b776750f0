// The files of a folder or of a zip archive, by their names in it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "cm/io/zip_archive.h"
#include "file_mistakes.h"

namespace cm {

// Files that nobody reads: how many, and one of them.
struct LeftOut {
  int64_t count = 0;
  std::string first;

  void add(const std::string& name) {
    if (++count == 1) first = name;
  }
};

struct FileTree {
  struct File {
    std::string name;  // "cats/more/a.png"
    size_t entry = 0;  // its number in the archive
  };

  std::filesystem::path path;
  std::unique_ptr<const ZipArchive> archive;  // null for a folder
  std::vector<File> files;                    // by name, folder after folder
  std::set<std::string> folders;              // the names of those directly in it, empty ones too
  LeftOut hidden;                             // what people don't see, or systems put there

  // Its path, for messages; "x.zip/a.png" in an archive.
  std::string where(const File& file) const { return (path / file.name).string(); }
  // The whole file; any thread may ask. InputError when it can't be read.
  std::string read(const File& file) const;
};

// Follows links. A link that leads nowhere, a folder that can't be listed or lies within itself by a link,
// and what is neither a file nor a folder, are mistakes. InputError when `path` is neither a folder nor a
// .zip.
FileTree read_tree(const std::filesystem::path& path, FileMistakes& mistakes);

// One line of the log that counts what nobody reads beside the tree's files, which are all `what`: its hidden
// files, and `others`, which are `why`.
void log_left_out(const FileTree& tree, const std::string& what, const LeftOut& others,
                  const std::string& why);

}  // namespace cm
