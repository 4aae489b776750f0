// Scripts with which a shell completes an executable's command line, made from its options.
//
// What a value is completed by follows from the option's type name, which --help shows:
//   {a,b}      these words
//   FILE       the names of files and folders
//   FOLDER     the names of folders
//   KEY=VALUE  settings of a training run, and their values
// and of any other type not at all.
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace cm {

enum class Shell { bash, zsh };

// Declares --completion, which prints the script and ends the program, whatever else is on the command line.
void add_completion_option(CLI::App& app);

std::string completion_script(const CLI::App& app, Shell shell);

}  // namespace cm
