#include "src/data/kinds.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace cm {
namespace {

using testing::HasSubstr;

TEST(DataKinds, AreNamedAndExplained) {
  std::set<std::string_view> names;
  for (const DataKind& kind : data_kinds()) {
    SCOPED_TRACE(std::string(kind.name));
    EXPECT_TRUE(names.insert(kind.name).second);
    EXPECT_EQ(&row_of({kind.name}), &kind);
    EXPECT_EQ(from_name<DatasetKind>(kind.name), DatasetKind{kind.name});
    EXPECT_THAT(dataset_kinds_help(), HasSubstr(std::string(kind.name) + ": " + std::string(kind.help)));
    EXPECT_FALSE(kind.help.empty());
    EXPECT_FALSE(kind.data_path.empty());
    EXPECT_EQ(kind.recognised.empty(), kind.recognises == nullptr);
    EXPECT_THAT(stored_image_kinds(), HasSubstr(std::string(kind.recognised)));
  }
  EXPECT_THROW(row_of({"none"}), c10::Error);
}

TEST(DataKinds, AreOpenedInOneWay) {
  for (const DataKind& kind : data_kinds()) {
    EXPECT_NE(kind.open == nullptr, kind.open_stored == nullptr) << kind.name;
    EXPECT_FALSE(kind.shape && kind.takes_size()) << kind.name;
  }
}

}  // namespace
}  // namespace cm
