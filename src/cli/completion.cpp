#include "completion.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <vector>

#include "cm/run/run_config.h"
#include "cm/yaml/field_help.h"
#include "named_option.h"

namespace cm {
namespace {

constexpr const char* kSettingType = "KEY=VALUE";

// "a b" of "{a,b}", the type name of a choice; "" of any other.
std::string words_of(const std::string& type) {
  if (!type.starts_with('{') || !type.ends_with('}')) return "";
  std::string words = type.substr(1, type.size() - 2);
  std::ranges::replace(words, ',', ' ');
  return words;
}

bool takes_value(const CLI::Option& option) {
  return option.get_items_expected_max() > 0;
}

bool takes_many(const CLI::Option& option) {
  return option.get_items_expected_max() > 1;
}

// The values of a setting: those of an enum or a flag, as words; "" for others.
std::string setting_words(const FieldHelp& field) {
  const size_t begin = field.type.find('{');
  if (field.type.starts_with("true or false")) return "true false";
  if (!field.scalar || begin == std::string::npos) return "";
  std::string words = words_of(field.type.substr(begin, field.type.find('}') + 1 - begin));
  words.erase(std::unique(words.begin(), words.end(), [](char a, char b) { return a == ' ' && b == ' '; }),
              words.end());
  return words;
}

// The fields that can be set by a word, without sections.
std::vector<FieldHelp> settings() {
  std::vector<FieldHelp> fields = field_help<RunConfig>();
  std::erase_if(fields, [](const FieldHelp& field) { return field.type.starts_with("a section"); });
  return fields;
}

// "KEY) words_are a b ;;" for each setting with known values, by the commands of a shell.
std::string cases_of_settings(const std::string& words_are, const char* quote, const std::string& files_are) {
  std::string cases;
  for (const FieldHelp& field : settings()) {
    const std::string words = setting_words(field);
    if (!words.empty()) cases += concat("      ", field.key, ") ", words_are, quote, words, quote, " ;;\n");
    if (field.type.starts_with("a string")) cases += concat("      ", field.key, ") ", files_are, " ;;\n");
  }
  return cases;
}

std::string setting_keys(const char* end) {
  std::string keys;
  for (const FieldHelp& field : settings()) keys += concat(keys.empty() ? "" : " ", field.key, end);
  return keys;
}

// Bash commands that set `words` or `kind` by a type name.
std::string bash_source_of(const std::string& type) {
  if (const std::string words = words_of(type); !words.empty()) return concat("words=\"", words, "\"");
  if (type == "FILE") return "kind=file";
  if (type == "FOLDER") return "kind=directory";
  if (type == kSettingType) return "kind=setting";
  return ":";
}

constexpr const char* kBashHead =
    R"(  local line=${COMP_LINE:0:COMP_POINT} word value option= words= kind= typed i
  word=${line##*[[:space:]]}
  value=$word
  read -ra typed <<<"${line:0:${#line}-${#word}}"
  for ((i = ${#typed[@]} - 1; i > 0; --i)); do
    [[ ${typed[i]} == -* ]] || continue
    option=${typed[i]}
    ((i == ${#typed[@]} - 1)) || [[ " $many " == *" $option "* ]] || option=
    break
  done
  if [[ $word == --*=* ]]; then
    option=${word%%=*} value=${word#*=}
  elif [[ $word == -* ]]; then
    option=
  fi
)";

constexpr const char* kBashTail = R"(  if [[ $kind == file || $kind == directory ]]; then
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -A "$kind" -- "$value")
  else
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$value")
  fi
  [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
  if [[ $word == *=* && $COMP_WORDBREAKS != *=* ]]; then COMPREPLY=("${COMPREPLY[@]/#/${word%%=*}=}"); fi
)";

std::string bash_settings() {
  return concat(
      "  if [[ $kind == setting && $word == *=* ]]; then\n    value=${word#*=}\n    case ${word%%=*} in\n",
      cases_of_settings("words=", "\"", "kind=file"),
      "    esac\n  elif [[ $kind == setting ]]; then\n    words=\"", setting_keys("="), "\"\n  fi\n");
}

std::string bash_script(const CLI::App& app) {
  const std::string& program = app.get_name();
  std::string options;
  std::string many;
  std::string cases;
  std::string positional = ":";
  for (const CLI::Option* option : app.get_options()) {
    const std::string source = bash_source_of(option->get_type_name());
    if (option->get_positional()) {
      positional = source;
      continue;
    }
    for (const auto& name : option->get_lnames()) {
      options += concat(options.empty() ? "--" : " --", name);
      if (takes_many(*option)) many += concat(many.empty() ? "--" : " --", name);
      if (takes_value(*option)) cases += concat("    --", name, ") ", source, " ;;\n");
    }
  }
  const bool has_settings = positional == bash_source_of(kSettingType);
  return concat("# Completes ", program, " in bash.\n_", program, "() {\n  local many=\"", many, "\"\n",
                kBashHead, "  case $option in\n", cases, "    *) if [[ $word == -* ]]; then words=\"",
                options, "\"; else ", positional, "; fi ;;\n  esac\n", has_settings ? bash_settings() : "",
                kBashTail, "}\ncomplete -F _", program, " ", program, "\n");
}

std::string zsh_action_of(const std::string& type, const std::string& program) {
  if (const std::string words = words_of(type); !words.empty()) return concat("(", words, ")");
  if (type == "FILE") return "_files";
  if (type == "FOLDER") return "_files -/";
  if (type == kSettingType) return concat("_", program, "_setting");
  return " ";
}

// The help up to its first semicolon, as it may stand between the brackets of _arguments in single quotes.
std::string zsh_help(const std::string& help) {
  std::string text;
  for (const char c : help.substr(0, help.find(';'))) {
    if (c == '\'') text += "'\\'";
    if (c == '[' || c == ']' || c == ':' || c == '\\') text += '\\';
    text += c == '\n' ? ' ' : c;
  }
  return text;
}

std::string zsh_settings(const std::string& program) {
  return concat("_", program,
                "_setting() {\n  local key=${PREFIX%%=*}\n  if compset -P '*='; then\n    case $key in\n",
                cases_of_settings("compadd -- ", "", "_files"), "    esac\n  else\n    compadd -S '=' -- ",
                setting_keys(""), "\n  fi\n}\n");
}

std::string zsh_script(const CLI::App& app) {
  const std::string& program = app.get_name();
  std::string specs;
  bool has_settings = false;
  for (const CLI::Option* option : app.get_options()) {
    const std::string type = option->get_type_name();
    const std::string action = zsh_action_of(type, program);
    has_settings = has_settings || type == kSettingType;
    const std::string help = zsh_help(option->get_description());
    if (option->get_positional()) {
      specs += concat(" \\\n    '", takes_many(*option) ? "*" : "", ":", help, ":", action, "'");
      continue;
    }
    for (const auto& name : option->get_lnames()) {
      specs += concat(" \\\n    '--", name, "[", help, "]");
      if (takes_value(*option)) specs += concat(takes_many(*option) ? ":*-*:" : ":", "value:", action);
      specs += '\'';
    }
  }
  return concat("#compdef ", program, "\n", has_settings ? zsh_settings(program) : "", "_", program,
                "() {\n  _arguments", specs, "\n}\nif [[ $funcstack[1] == _", program, " ]]; then\n  _",
                program, " \"$@\"\nelse\n  compdef _", program, " ", program, "\nfi\n");
}

}  // namespace

void add_completion_option(CLI::App& app) {
  add_named_option<Shell>(app, "--completion", "print the script with which this shell completes the command",
                          [&app](Shell shell) {
                            std::cout << completion_script(app, shell);
                            throw CLI::Success();
                          })
      ->trigger_on_parse();
}

std::string completion_script(const CLI::App& app, Shell shell) {
  switch (shell) {
    case Shell::bash:
      return bash_script(app);
    case Shell::zsh:
      return zsh_script(app);
  }
  throw Error("no such shell");
}

}  // namespace cm
