// Distills a diffusion model into one of fewer steps.
#include "cm/cli/train_command.h"

int main(int argc, char** argv) {
  return cm::train_main(argc, argv, "cm-train-pd",
                        "Distills a diffusion model into one of fewer and fewer steps, down to one.");
}
