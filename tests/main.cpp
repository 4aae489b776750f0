#include <gmock/gmock.h>

#include "cm/base/gpus.h"

int main(int argc, char** argv) {
  testing::InitGoogleMock(&argc, argv);
  cm::gpus();
  return RUN_ALL_TESTS();
}
