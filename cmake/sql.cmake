# sql/*.sql and sql/functions/*.sql become one C array that src/pg/migrate.c reads (struct in src/pg/pg_priv.h).
find_package(Python3 REQUIRED COMPONENTS Interpreter)
file(GLOB_RECURSE PH_SQL CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/sql/*.sql)
add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/sql_files.c
	COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/cmake/sql_to_c.py ${CMAKE_SOURCE_DIR}/sql ${CMAKE_BINARY_DIR}/sql_files.c
	DEPENDS ${PH_SQL} ${CMAKE_SOURCE_DIR}/cmake/sql_to_c.py
	COMMENT "SQL files to C")
target_sources(ph_pg PRIVATE ${CMAKE_BINARY_DIR}/sql_files.c)
target_include_directories(ph_pg PRIVATE ${CMAKE_SOURCE_DIR}/src)
