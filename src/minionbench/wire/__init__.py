"""What each server speaks: a call becomes bytes, an exchange becomes a reply."""
