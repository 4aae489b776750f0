// Trains a consistency model on its own.
#include "cm/cli/train_command.h"

int main(int argc, char** argv) {
  return cm::train_main(argc, argv, "cm-train-ct", "Trains a consistency model without a teacher.");
}
