"""What a serving process tells its operators beside metrics."""
