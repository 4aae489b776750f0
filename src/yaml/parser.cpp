// The only file that knows yaml-cpp: its parser's events become a tree of YamlNode.
#include "cm/yaml/parser.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <functional>
#include <sstream>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/base/text.h"

namespace cm {
namespace {

constexpr uintmax_t kLargestFile = 1 << 16;

using OriginOf = std::function<Origin(const YAML::Mark&)>;

// Ends the parse.
struct Rejected {
  Origin origin;
  std::string sentence;
};

class TreeBuilder : public YAML::EventHandler {
 public:
  explicit TreeBuilder(OriginOf origin_of) : origin_of_(std::move(origin_of)) {}

  // A null where the text holds no document.
  YamlNode take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (started_) reject(mark, "not valid YAML here: something follows the end of the value");
    started_ = true;
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    add(node(Kind::null, mark, "?", anchor));
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override { reject_anchor(mark); }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    YamlNode scalar = node(Kind::scalar, mark, tag, anchor);
    scalar.text = value;
    scalar.quoted = tag == kQuoted;
    add(std::move(scalar));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open_.push_back({node(Kind::list, mark, tag, anchor), std::nullopt});
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open_.push_back({node(Kind::mapping, mark, tag, anchor), std::nullopt});
  }
  void OnMapEnd() override { close(); }

 private:
  using Kind = YamlNode::Kind;
  static constexpr const char* kPlain = "?";
  static constexpr const char* kQuoted = "!";

  // A list or mapping that is not at its end yet, with the key that waits for its value.
  struct Open {
    YamlNode node;
    std::optional<YamlEntry> pending;
  };

  [[noreturn]] void reject(const YAML::Mark& mark, const std::string& sentence) const {
    throw Rejected{origin_of_(mark), sentence};
  }
  [[noreturn]] void reject_anchor(const YAML::Mark& mark) const {
    reject(mark, "anchors and aliases (& and *) are not supported; write the value out");
  }

  YamlNode node(Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) const {
    if (anchor != YAML::NullAnchor) reject_anchor(mark);
    if (!tag.empty() && tag != kPlain && tag != kQuoted) {
      reject(mark, "tags (!) are not supported; quote the value if it is a string");
    }
    YamlNode made;
    made.kind = kind;
    made.origin = origin_of_(mark);
    return made;
  }

  void close() {
    YamlNode complete = std::move(open_.back().node);
    open_.pop_back();
    add(std::move(complete));
  }

  void add(YamlNode value) {
    if (open_.empty()) {
      root_ = std::move(value);
    } else if (open_.back().node.kind == Kind::list) {
      open_.back().node.items.push_back(std::move(value));
    } else if (!open_.back().pending) {
      if (value.kind != Kind::scalar)
        throw Rejected{value.origin, concat("a key must be a word, got ", value.describe())};
      open_.back().pending = YamlEntry{value.text, value.origin, {}};
    } else {
      add_entry(open_.back(), std::move(value));
    }
  }

  static void add_entry(Open& mapping, YamlNode value) {
    const Origin& key = mapping.pending->origin;
    // The parser places a value that was left out at the text that follows it.
    if (value.kind == Kind::null && value.origin.line() != key.line()) value.origin = key;
    mapping.pending->value = std::move(value);
    mapping.node.entries.push_back(std::move(*mapping.pending));
    mapping.pending.reset();
  }

  OriginOf origin_of_;
  bool started_ = false;
  YamlNode root_;
  std::vector<Open> open_;
};

bool is_indented_by_tab(const std::string& text, int line) {
  std::istringstream lines(text);
  std::string content;
  for (int i = 0; i <= line && std::getline(lines, content); ++i) {
  }
  return content.substr(0, content.find_first_not_of(" \t")).find('\t') != std::string::npos;
}

std::string explain(const YAML::Exception& error, const std::string& text) {
  if (error.msg == YAML::ErrorMsg::EOF_IN_SCALAR) return "a quote is not closed";
  return error.msg + (is_indented_by_tab(text, error.mark.line) ? "; indent with spaces, not tabs" : "");
}

std::optional<YamlNode> parse(const std::string& text, const OriginOf& origin_of, Mistakes& mistakes) {
  // yaml-cpp overlooks a quote that is still open when the text ends in a line break; a last line without one
  // helps.
  std::istringstream in(text + "\n#");
  TreeBuilder builder(origin_of);
  try {
    YAML::Parser parser(in);
    while (parser.HandleNextDocument(builder)) {
    }
    return builder.take();
  } catch (const Rejected& rejected) {
    mistakes.add(rejected.origin, rejected.sentence);
  } catch (const YAML::Exception& error) {
    mistakes.add(origin_of(error.mark), concat("not valid YAML: ", explain(error, text)));
  }
  return std::nullopt;
}

}  // namespace

YamlNode load_yaml(const std::filesystem::path& path) {
  std::error_code no_size;
  const auto bytes = std::filesystem::file_size(path, no_size);
  if (!no_size && bytes > kLargestFile) {
    throw InputError(concat(path.string(), ": is no config: it has ", human_bytes(static_cast<double>(bytes)),
                            ", a config has at most ", human_bytes(kLargestFile)));
  }
  return parse_yaml(read_file(path), path.string());
}

YamlNode parse_yaml(const std::string& text, const std::string& name) {
  Mistakes mistakes;
  const auto place = [&](const YAML::Mark& mark) {
    return Origin::place(name, mark.line + 1, mark.column + 1);
  };
  std::optional<YamlNode> root = parse(text, place, mistakes);
  if (root && root->kind != YamlNode::Kind::mapping && root->kind != YamlNode::Kind::null) {
    mistakes.add(root->origin,
                 concat("a config must be a mapping (lines of key: value), got ", root->describe()));
  }
  mistakes.throw_if_any();
  root->kind = YamlNode::Kind::mapping;
  root->origin = Origin::file(name);
  return std::move(*root);
}

std::optional<YamlNode> parse_yaml_value(const std::string& text, const Origin& origin, Mistakes& mistakes) {
  std::optional<YamlNode> value = parse(
      text, [&](const YAML::Mark&) { return origin; }, mistakes);
  if (value) value->origin = origin;
  return value;
}

}  // namespace cm
