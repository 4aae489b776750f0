// Distills a diffusion model into a consistency model.
#include "cm/cli/train_command.h"

int main(int argc, char** argv) {
  return cm::train_main(argc, argv, "cm-train-cd", "Distills a diffusion model into a consistency model.");
}
