// An option of the command line whose words are an enum's names.
#pragma once

#include <CLI/CLI.hpp>

#include <utility>

#include "cm/cli/command_line.h"

namespace cm {

template <NamedEnum E>
CLI::Option* add_named_option(CLI::App& app, const std::string& name, const std::string& help,
                              std::function<void(E)> set) {
  return app
      .add_option_function<std::string>(
          name, [name, set = std::move(set)](const std::string& word) { set(named_option<E>(name, word)); },
          help)
      ->type_name(choices_of<E>());
}

}  // namespace cm
