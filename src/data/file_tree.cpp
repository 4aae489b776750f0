#include "file_tree.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/base/log.h"
#include "cm/base/text.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

// What systems and file managers put beside people's files.
constexpr std::array kSystemNames = {"thumbs.db", "ehthumbs.db", "desktop.ini",
                                     "__macosx",  "@eadir",      "lost+found"};

bool is_hidden(std::string name) {
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
  return name.starts_with('.') || std::ranges::find(kSystemNames, name) != kSystemNames.end();
}

// Folder after folder: '/' before all that a name can have.
bool precedes(const FileTree::File& a, const FileTree::File& b) {
  const auto rank = [](char c) { return c == '/' ? 0 : static_cast<int>(static_cast<unsigned char>(c)); };
  return std::ranges::lexicographical_compare(a.name, b.name, {}, rank, rank);
}

class FolderWalk {
 public:
  FolderWalk(FileTree& tree, FileMistakes& mistakes) : tree_(tree), mistakes_(mistakes) {}

  // `folder`: its name in the tree, "" for the root's.
  void visit(const std::string& folder) {
    const fs::path path = folder.empty() ? tree_.path : tree_.path / folder;
    std::error_code ignored;
    const fs::path real = fs::canonical(path, ignored);
    if (std::ranges::find(around_, real) != around_.end()) {
      mistakes_.add(
          concat(path.string(), ": a loop of links, it leads back to ", real.string(), "; remove it"));
      return;
    }
    around_.push_back(real);
    for (const auto& entry : entries_of(path)) {
      const std::string name = entry.path().filename().string();
      take(entry, folder.empty() ? name : concat(folder, '/', name));
    }
    around_.pop_back();
  }

 private:
  // By name.
  std::vector<fs::directory_entry> entries_of(const fs::path& folder) {
    std::vector<fs::directory_entry> entries;
    std::error_code failed;
    for (fs::directory_iterator entry(folder, failed), end; !failed && entry != end;
         entry.increment(failed)) {
      entries.push_back(*entry);
    }
    if (failed) mistakes_.add(concat(folder.string(), ": can't be listed: ", failed.message()));
    std::ranges::sort(entries, {},
                      [](const auto& entry) -> const std::string& { return entry.path().native(); });
    return entries;
  }

  // `name`: that of the entry in the tree.
  void take(const fs::directory_entry& entry, const std::string& name) {
    if (is_hidden(entry.path().filename().string())) {
      tree_.hidden.add(name);
      return;
    }
    std::error_code failed;
    const fs::file_status status = entry.status(failed);
    if (fs::is_directory(status)) {
      if (name.find('/') == std::string::npos) tree_.folders.insert(name);
      visit(name);
    } else if (fs::is_regular_file(status)) {
      tree_.files.push_back({name});
    } else if (fs::exists(status)) {
      mistakes_.add(concat(entry.path().string(), ": neither a file nor a folder; remove it"));
    } else {
      const bool dangling = status.type() == fs::file_type::not_found;
      mistakes_.add(concat(entry.path().string(), ": ",
                           dangling ? "a link that leads nowhere" : failed.message(),
                           "; restore what it should lead to, or remove it"));
    }
  }

  FileTree& tree_;
  FileMistakes& mistakes_;
  std::vector<fs::path> around_;  // the folders that are being visited, without links in their paths
};

// Whether the name of one of its folders, or its own, is hidden.
bool is_hidden_within(std::string_view name) {
  while (!name.empty()) {
    const size_t length = std::min(name.find('/'), name.size());
    if (is_hidden(std::string(name.substr(0, length)))) return true;
    name.remove_prefix(std::min(length + 1, name.size()));
  }
  return false;
}

void list_archive(FileTree& tree) {
  for (size_t i = 0; i < tree.archive->entries().size(); ++i) {
    std::string name = tree.archive->entries()[i].name;
    std::ranges::replace(name, '\\', '/');  // as Windows has it
    if (name.starts_with("./")) name.erase(0, 2);
    const bool is_folder = name.ends_with('/');
    if (is_hidden_within(name)) {
      if (!is_folder) tree.hidden.add(name);
      continue;
    }
    if (const size_t slash = name.find('/'); slash != std::string::npos)
      tree.folders.insert(name.substr(0, slash));
    if (!is_folder) tree.files.push_back({std::move(name), i});
  }
  std::ranges::sort(tree.files, precedes);
  const auto twice = std::ranges::adjacent_find(tree.files, {}, &FileTree::File::name);
  if (twice != tree.files.end()) {
    throw InputError(concat(tree.where(*twice), ": is there twice; make the archive anew"));
  }
}

}  // namespace

std::string FileTree::read(const File& file) const {
  return archive ? archive->read(file.entry, where(file)) : read_file(path / file.name);
}

FileTree read_tree(const fs::path& path, FileMistakes& mistakes) {
  FileTree tree;
  tree.path = path;
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    FolderWalk(tree, mistakes).visit("");
  } else if (is_zip(path)) {
    tree.archive = std::make_unique<const ZipArchive>(path);
    list_archive(tree);
  } else {
    throw InputError(concat(
        path.string(), ": neither a folder nor a .zip; give one with images, perhaps in one folder a class"));
  }
  return tree;
}

void log_left_out(const FileTree& tree, const std::string& what, const LeftOut& others,
                  const std::string& why) {
  std::vector<std::string> counts;
  // "3 hidden (.a.png, …)"
  const auto count = [&](const LeftOut& files, const std::string& kind) {
    if (files.count == 0) return;
    counts.push_back(concat(files.count, ' ', kind, " (", files.first, files.count > 1 ? ", …)" : ")"));
  };
  count(tree.hidden, "hidden");
  count(others, why);
  if (counts.empty()) return;
  log_info(concat(tree.path.string(), ": ", tree.files.size(), ' ', what, "; left out: ", join(counts)));
}

}  // namespace cm
