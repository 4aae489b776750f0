// The body of cm-edit: zero-shot editing of pictures with a checkpoint.
#pragma once

#include "cm/cli/edit_options.h"

namespace cm {

// Edits and writes results.npz, grid.png, edit.json and what else was asked for into --out; returns 0.
// InputError for mistakes in the command, before anything is computed or written.
int run_edit_command(const EditOptions& options);

}  // namespace cm
