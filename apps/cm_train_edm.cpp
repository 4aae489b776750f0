// Trains a diffusion model, the teacher of consistency distillation.
#include "cm/cli/train_command.h"

int main(int argc, char** argv) {
  return cm::train_main(argc, argv, "cm-train-edm", "Trains a diffusion model (EDM).");
}
