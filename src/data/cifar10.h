// CIFAR-10, binary version (Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html).
#pragma once

#include "kinds.h"

namespace cm {

// The folder of data_batch_1.bin … data_batch_5.bin (the test batch is not used), or one such file. A record
// is 3,073 bytes: the class 0…9, then 32×32 red, green and blue values, row by row. 3 channels, 32×32, 10
// classes. InputError with the path when a file is missing, empty, no whole number of records, or holds
// another class.
DataKind cifar10_kind();

}  // namespace cm
